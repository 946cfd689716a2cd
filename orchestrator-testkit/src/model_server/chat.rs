//! OpenAI's chat completions.

use serde_json::{Value, json};

use super::{
    ModelRequest,
    answer::{Answer, Part},
    event,
};

fn text(parts: &[Part]) -> String {
    parts
        .iter()
        .filter_map(|part| {
            if let Part::Text(text) = part {
                Some(text.as_str())
            } else {
                None
            }
        })
        .collect()
}

fn calls(parts: &[Part], number: usize) -> Vec<Value> {
    let calls = parts.iter().filter_map(|part| {
        if let Part::Call { name, arguments } = part {
            Some((name, arguments))
        } else {
            None
        }
    });
    let call = |(at, (name, arguments)): (usize, (&String, &Value))| {
        json!({
            "index": at, "id": format!("call_{number}_{at}"), "type": "function",
            "function": { "name": name, "arguments": arguments.to_string() },
        })
    };
    calls.enumerate().map(call).collect()
}

fn stop(parts: &[Part], answer: &Answer) -> String {
    let calls = parts.iter().any(|part| matches!(part, Part::Call { .. }));
    answer
        .stop
        .clone()
        .unwrap_or_else(|| if calls { "tool_calls" } else { "stop" }.to_owned())
}

fn usage(answer: &Answer) -> Value {
    let (input, output) = (answer.input_tokens, answer.output_tokens);
    json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output })
}

pub(super) fn whole(
    parts: &[Part],
    answer: &Answer,
    request: &ModelRequest,
    number: usize,
) -> Value {
    let mut message = json!({ "role": "assistant", "content": text(parts) });
    let calls = calls(parts, number);
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    json!({
        "id": format!("chatcmpl-{number}"), "object": "chat.completion", "created": 0, "model": request.body["model"],
        "choices": [{ "index": 0, "message": message, "finish_reason": stop(parts, answer) }], "usage": usage(answer),
    })
}

pub(super) fn events(
    parts: &[Part],
    answer: &Answer,
    request: &ModelRequest,
    number: usize,
) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        event(
            None,
            &json!({
                "id": format!("chatcmpl-{number}"), "object": "chat.completion.chunk", "created": 0, "model": request.body["model"],
                "choices": choices, "usage": usage,
            }),
        )
    };
    let delta = |delta: Value| {
        chunk(
            json!([{ "index": 0, "delta": delta, "finish_reason": null }]),
            Value::Null,
        )
    };
    let mut events = vec![delta(json!({ "role": "assistant", "content": "" }))];
    // In pieces, as a model writes.
    let text = text(parts);
    let pieces: Vec<_> = text.split_inclusive('\n').collect();
    events.extend(
        pieces
            .into_iter()
            .map(|piece| delta(json!({ "content": piece }))),
    );
    events.extend(
        calls(parts, number)
            .into_iter()
            .map(|call| delta(json!({ "tool_calls": [call] }))),
    );
    events.push(chunk(
        json!([{ "index": 0, "delta": {}, "finish_reason": stop(parts, answer) }]),
        Value::Null,
    ));
    events.push(chunk(json!([]), usage(answer)));
    events.push("data: [DONE]\n\n".to_owned());
    events
}
