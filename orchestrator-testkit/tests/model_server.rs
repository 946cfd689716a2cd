//! The scripted models, asked by hand: what they stream, what they say in one piece, and how they fail.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use orchestrator_testkit::model_server::{Answer, ModelServer, Part, Script};
use serde_json::{Value, json};

const APIS: [&str; 3] = [
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/messages?beta=true",
];

fn ask(server: &ModelServer, path: &str, body: &Value) -> TcpStream {
    let host = server.url().replace("http://", "");
    let mut stream = TcpStream::connect(&host).expect("it listens");
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all((head + &body).as_bytes())
        .expect("it listens");
    stream
}

/// The whole answer, without the parts that differ from one moment to the next, and without the lengths of chunks.
fn answered(server: &ModelServer, path: &str, body: &Value) -> String {
    let mut text = String::new();
    ask(server, path, body)
        .read_to_string(&mut text)
        .expect("it answers");
    let length =
        |line: &&str| !line.is_empty() && line.chars().all(|digit| digit.is_ascii_hexdigit());
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("date:") && !length(line) && !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

fn question(stream: bool) -> Value {
    json!({ "model": "scripted", "stream": stream, "tools": [{ "name": "shell" }], "messages": [{ "role": "user", "content": "R1" }] })
}

#[test]
fn each_api_is_told_the_same_in_its_own_words() {
    let call = Part::Call {
        name: "shell".to_owned(),
        arguments: json!({ "command": "ls" }),
    };
    let answers = [
        Answer::parts([Part::Text("I look.\nThen".to_owned()), call]).costing(7, 5),
        Answer::say("Done."),
    ];
    let mut told = String::new();
    for path in APIS {
        let server = ModelServer::start(Script::new(answers.clone()));
        for stream in [true, false] {
            told += &format!(
                "== {path}, stream: {stream}\n{}\n\n",
                answered(&server, path, &question(stream))
            );
        }
        assert_eq!(server.requests().len(), 2);
    }
    insta::assert_snapshot!(told);
}

#[test]
fn an_error_is_told_in_the_words_of_the_api_with_its_headers() {
    for path in APIS {
        let limited =
            Answer::fail(429, "rate_limit_error", "slow down").with_header("retry-after", "2");
        let server = ModelServer::start(Script::new([
            limited,
            Answer::http(400, json!({ "odd": true })),
        ]));
        let told = answered(&server, path, &question(true));
        for part in [
            "HTTP/1.1 429",
            "retry-after: 2",
            "rate_limit_error",
            "slow down",
        ] {
            assert!(told.contains(part), "{path}: no {part} in {told}");
        }
        assert!(answered(&server, path, &question(true)).ends_with(r#"{"odd":true}"#));
    }
}

#[test]
fn a_stream_breaks_off_or_hangs_where_it_should() {
    let server = ModelServer::start(Script::new([
        Answer::say("Done.").breaking_off_after(1),
        Answer::say("Done.").hanging_after(1),
    ]));
    let mut text = Vec::new();
    ask(&server, APIS[2], &question(true))
        .read_to_end(&mut text)
        .expect("it ends");
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains("message_start") && !text.contains("ping") && !text.ends_with("0\r\n\r\n"),
        "{text}"
    );

    for server in [server, ModelServer::start(Script::new([Answer::hang()]))] {
        let mut hanging = ask(&server, APIS[2], &question(true));
        hanging
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("can be set");
        let error = hanging
            .read_to_end(&mut Vec::new())
            .expect_err("it does not end");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn a_script_tells_threads_apart_and_knows_questions_on_the_side() {
    let script = Script::new([Answer::say("for the rest")])
        .when("R1", [Answer::say("for R1"), Answer::say("for R1 again")]);
    let server = ModelServer::start(script.aside(Answer::say("a title")));
    let said = |body: &Value| {
        let told = answered(&server, APIS[1], body);
        let body: Value =
            serde_json::from_str(told.lines().last().unwrap_or_default()).expect("a body");
        body["choices"][0]["message"]["content"]
            .as_str()
            .expect("words")
            .to_owned()
    };
    let other = json!({ "tools": [{}], "messages": [] });
    let title = json!({ "messages": [] });
    let all = [
        question(false),
        other,
        question(false),
        title,
        question(false),
    ]
    .map(|body| said(&body));
    assert_eq!(
        all,
        [
            "for R1",
            "for the rest",
            "for R1 again",
            "a title",
            "for R1 again"
        ]
    );
    let mut text = String::new();
    ask(&server, "/elsewhere", &json!({}))
        .read_to_string(&mut text)
        .expect("it answers");
    assert!(text.starts_with("HTTP/1.1 404"));
    assert_eq!(server.others(), ["POST /elsewhere"]);
}
