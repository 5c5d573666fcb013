//! A headless Chromium, told what to do over a pipe in its DevTools protocol.
//!
//! <https://chromedevtools.github.io/devtools-protocol/>: JSON objects with a NUL behind each, commands on the browser's
//! descriptor 3, results and events on its descriptor 4.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::PATIENCE;

/// The browser with one page in it, ended with the test.
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    /// What was told and not asked for.
    events: VecDeque<Value>,
    _profile: TempDir,
}

impl Browser {
    /// Starts it with an empty page. It keeps nothing, and asks nobody anything but what its page asks for.
    pub fn start() -> Browser {
        let profile = tempfile::tempdir().unwrap();
        // Its two descriptors are our ends of standard input and output, which it does not use otherwise.
        let mut child = Command::new("sh")
            .arg("-c")
            .arg("exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null")
            .args(["sh", "chromium", "--headless=new", "--no-sandbox"])
            .args(["--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--remote-debugging-pipe", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-extensions"])
            // Nobody looks at it, and its clock is to tick all the same.
            .args(["--disable-background-timer-throttling"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let (sender, answers) = mpsc::channel();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            let mut message = Vec::new();
            while told.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                message.pop();
                let message: Value = serde_json::from_slice(&std::mem::take(&mut message)).unwrap();
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser {
            child,
            commands,
            answers,
            last_id: 0,
            session: None,
            events: VecDeque::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", target);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.events.clear();
        browser
    }

    /// Has something done, and gives back what it comes to.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut command = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.answers.recv_timeout(left);
            let mut message = message.unwrap_or_else(|_| panic!("{method}: no answer"));
            if message["id"] == json!(self.last_id) {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].take();
            }
            self.events.push_back(message);
        }
    }

    /// Opens a page.
    pub fn open(&mut self, url: &str) {
        let result = self.call("Page.navigate", json!({"url": url}));
        assert_eq!(result["errorText"], Value::Null, "{url}");
    }

    /// What an expression in JavaScript comes to.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        let mut result = self.call("Runtime.evaluate", params);
        assert_eq!(result["exceptionDetails"], Value::Null, "{expression}");
        result["result"]["value"].take()
    }

    /// The same, as a text.
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.evaluate(expression);
        let text = value.as_str();
        text.unwrap_or_else(|| panic!("{expression}: {value}"))
            .to_owned()
    }

    /// Waits until an expression is true, and shows the page if it does not get so.
    pub fn expect(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        // The page may be on its way still.
        let whole = format!("!!document.body && !!({expression})");
        while self.evaluate(&whole) != json!(true) {
            if Instant::now() > deadline {
                let page = self.text("document.body.innerText");
                panic!("not {expression}:\n{page}");
            }
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Writes what is seen of the page, as PNG.
    pub fn picture(&mut self, path: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let png = Base64::decode_vec(shot["data"].as_str().unwrap()).unwrap();
        fs::write(path, png).unwrap();
    }

    /// What the browser told by itself since the last call, of one kind.
    pub fn events(&mut self, method: &str) -> Vec<Value> {
        self.events.extend(self.answers.try_iter());
        let events = self.events.iter().filter(|event| event["method"] == method);
        events.map(|event| event["params"].clone()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its own processes when its pipe is closed; this is in case it does not.
        let _ = self
            .commands
            .write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
