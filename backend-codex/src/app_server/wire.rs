//! What `app-server` writes, as far as it is read here. `tests/schema` has these parts of its own schema.

use orchestrator_core::{
    agent::lenient::{Flag, List, Number, Text},
    lenient,
};
use serde_json::Value;

lenient! {
    /// A notification, a request of the server's, or an answer.
    pub(super) struct Message<'a> {
        pub(super) id: Value = "id",
        pub(super) method: Text<'a> = "method",
        pub(super) params: Params<'a> = "params",
        pub(super) result: Answer<'a> = "result",
        pub(super) error: Failure<'a> = "error",
    }
}

lenient! {
    /// What all notifications and requests that are read have, together.
    pub(super) struct Params<'a> {
        pub(super) thread_id: Text<'a> = "threadId",
        pub(super) turn_id: Text<'a> = "turnId",
        pub(super) turn: TurnInfo<'a> = "turn",
        pub(super) item: Item<'a> = "item",
        pub(super) item_id: Text<'a> = "itemId",
        pub(super) delta: Text<'a> = "delta",
        pub(super) usage: ThreadUsage = "tokenUsage",
        pub(super) limits: Limits = "rateLimits",
        pub(super) error: Failure<'a> = "error",
        pub(super) will_retry: Flag = "willRetry",
        pub(super) message: Text<'a> = "message",
        pub(super) summary: Text<'a> = "summary",
        pub(super) command: Text<'a> = "command",
        pub(super) reason: Text<'a> = "reason",
        pub(super) questions: List<Question<'a>> = "questions",
    }
}

lenient! {
    /// What `initialize`, `thread/start`, `thread/resume` and `turn/start` are answered with, together.
    pub(super) struct Answer<'a> {
        pub(super) thread: Named<'a> = "thread",
        pub(super) turn: TurnInfo<'a> = "turn",
        pub(super) cwd: Text<'a> = "cwd",
        pub(super) model: Text<'a> = "model",
        pub(super) sandbox: Sandbox<'a> = "sandbox",
        pub(super) profile: Named<'a> = "activePermissionProfile",
    }
}

lenient! {
    pub(super) struct Named<'a> {
        pub(super) id: Text<'a> = "id",
    }
}

lenient! {
    pub(super) struct Sandbox<'a> {
        pub(super) kind: Text<'a> = "type",
        pub(super) network: Flag = "networkAccess",
    }
}

lenient! {
    pub(super) struct TurnInfo<'a> {
        pub(super) id: Text<'a> = "id",
        pub(super) status: Text<'a> = "status",
        pub(super) error: Failure<'a> = "error",
    }
}

lenient! {
    /// What went wrong: an error of the protocol, or of a turn.
    pub(super) struct Failure<'a> {
        pub(super) message: Text<'a> = "message",
        pub(super) info: Value = "codexErrorInfo",
    }
}

lenient! {
    pub(super) struct Item<'a> {
        pub(super) id: Text<'a> = "id",
        pub(super) kind: Text<'a> = "type",
        pub(super) text: Text<'a> = "text",
        pub(super) command: Text<'a> = "command",
        pub(super) tool: Text<'a> = "tool",
        pub(super) query: Text<'a> = "query",
        pub(super) changes: List<Change<'a>> = "changes",
        pub(super) status: Text<'a> = "status",
        pub(super) exit_code: Number = "exitCode",
        pub(super) output: Text<'a> = "aggregatedOutput",
    }
}

lenient! {
    pub(super) struct Change<'a> {
        pub(super) path: Text<'a> = "path",
    }
}

lenient! {
    pub(super) struct Question<'a> {
        pub(super) question: Text<'a> = "question",
    }
}

lenient! {
    /// Tokens of a whole thread, and of the last request of the model.
    pub(super) struct ThreadUsage {
        pub(super) total: Tokens = "total",
        pub(super) last: Tokens = "last",
    }
}

lenient! {
    pub(super) struct Tokens {
        pub(super) input: Number = "inputTokens",
        pub(super) output: Number = "outputTokens",
    }
}

lenient! {
    pub(super) struct Limits {
        pub(super) primary: Window = "primary",
        pub(super) secondary: Window = "secondary",
    }
}

lenient! {
    /// How much of a limit is used, in percent, and when it is reset, in seconds since 1970.
    pub(super) struct Window {
        pub(super) used: Number = "usedPercent",
        pub(super) resets_at: Number = "resetsAt",
    }
}
