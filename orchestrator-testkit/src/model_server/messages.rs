//! Anthropic's Messages.

use serde_json::{Value, json};

use super::{
    ModelRequest,
    answer::{Answer, Part},
    event,
};

fn blocks(parts: &[Part], number: usize) -> Vec<Value> {
    let block = |(at, part): (usize, &Part)| match part {
        Part::Text(text) => json!({ "type": "text", "text": text }),
        Part::Call { name, arguments } => {
            json!({ "type": "tool_use", "id": format!("toolu_{number}_{at}"), "name": name, "input": arguments })
        }
        Part::Raw(block) => block.clone(),
    };
    parts.iter().enumerate().map(block).collect()
}

fn stop(parts: &[Part], answer: &Answer) -> String {
    let calls = parts.iter().any(|part| matches!(part, Part::Call { .. }));
    answer
        .stop
        .clone()
        .unwrap_or_else(|| if calls { "tool_use" } else { "end_turn" }.to_owned())
}

fn message(answer: &Answer, request: &ModelRequest, number: usize, output: u64) -> Value {
    json!({
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": request.body["model"], "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {
            "input_tokens": answer.input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": output,
        },
    })
}

pub(super) fn whole(
    parts: &[Part],
    answer: &Answer,
    request: &ModelRequest,
    number: usize,
) -> Value {
    let mut message = message(answer, request, number, answer.output_tokens);
    message["content"] = blocks(parts, number).into();
    message["stop_reason"] = stop(parts, answer).into();
    message
}

pub(super) fn events(
    parts: &[Part],
    answer: &Answer,
    request: &ModelRequest,
    number: usize,
) -> Vec<String> {
    let mut events = vec![
        json!({ "type": "message_start", "message": message(answer, request, number, 1) }),
        json!({ "type": "ping" }),
    ];
    for (at, mut block) in blocks(parts, number).into_iter().enumerate() {
        // What a block holds comes behind its beginning, in pieces.
        let delta = match block["type"].as_str() {
            Some("text") => Some(
                json!({ "type": "text_delta", "text": std::mem::replace(&mut block["text"], json!("")) }),
            ),
            Some("tool_use") => {
                let input = std::mem::replace(&mut block["input"], json!({}));
                Some(json!({ "type": "input_json_delta", "partial_json": input.to_string() }))
            }
            _ => None,
        };
        events.push(json!({ "type": "content_block_start", "index": at, "content_block": block }));
        events
            .extend(delta.map(
                |delta| json!({ "type": "content_block_delta", "index": at, "delta": delta }),
            ));
        events.push(json!({ "type": "content_block_stop", "index": at }));
    }
    let usage = json!({ "output_tokens": answer.output_tokens });
    let delta = json!({ "stop_reason": stop(parts, answer), "stop_sequence": null });
    events.push(json!({ "type": "message_delta", "delta": delta, "usage": usage }));
    events.push(json!({ "type": "message_stop" }));
    events
        .iter()
        .map(|data| event(data["type"].as_str(), data))
        .collect()
}
