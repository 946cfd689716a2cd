//! OpenAI's Responses.

use serde_json::{Value, json};

use super::{
    answer::{Answer, Part},
    event,
};

fn items(parts: &[Part], number: usize) -> Vec<Value> {
    let item = |(at, part): (usize, &Part)| match part {
        Part::Text(text) => json!({
            "type": "message", "role": "assistant", "id": format!("msg_{number}_{at}"), "status": "completed",
            "content": [{ "type": "output_text", "text": text, "annotations": [] }],
        }),
        Part::Call { name, arguments } => json!({
            "type": "function_call", "id": format!("fc_{number}_{at}"), "call_id": format!("call_{number}_{at}"),
            "name": name, "arguments": arguments.to_string(),
        }),
        Part::Raw(item) => item.clone(),
    };
    parts.iter().enumerate().map(item).collect()
}

fn usage(answer: &Answer) -> Value {
    let (input, output) = (answer.input_tokens, answer.output_tokens);
    json!({
        "input_tokens": input, "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": output, "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": input + output,
    })
}

pub(super) fn whole(parts: &[Part], answer: &Answer, number: usize) -> Value {
    json!({ "id": format!("resp_{number}"), "object": "response", "status": "completed", "output": items(parts, number), "usage": usage(answer) })
}

pub(super) fn events(parts: &[Part], answer: &Answer, number: usize) -> Vec<String> {
    let id = format!("resp_{number}");
    let mut events = vec![json!({ "type": "response.created", "response": { "id": id } })];
    for (at, item) in items(parts, number).into_iter().enumerate() {
        events
            .push(json!({ "type": "response.output_item.done", "output_index": at, "item": item }));
    }
    events.push(
        json!({ "type": "response.completed", "response": { "id": id, "usage": usage(answer) } }),
    );
    events
        .iter()
        .map(|data| event(data["type"].as_str(), data))
        .collect()
}
