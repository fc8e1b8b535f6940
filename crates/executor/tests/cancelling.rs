//! How long it takes from the request to end until the caller has its answer.

mod real_support;

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use agentic_executor::{Cancel, Cause, EventBody, StopReason};
use agentic_testkit::skip;
use real_support::{Real, has_python};

/// Much more than it takes, and much less than any wait of ours: a debug build on a busy machine.
const SOON: Duration = Duration::from_secs(1);

#[test]
fn code_that_never_ends_is_ended_at_once() {
    if !has_python() {
        skip!("no Python to run");
    }
    let real = Real::new();
    let mut times = Vec::new();
    for _ in 0..10 {
        let (begun, begins) = mpsc::channel();
        let begun = Mutex::new(begun);
        let cancel = Cancel::new();
        let executor = real
            .builder()
            .cancel(cancel.clone())
            .on_event(move |event| {
                if matches!(event.body, EventBody::CallOutput { .. }) {
                    // Heard once; what is written later is of no interest.
                    begun.lock().unwrap().send(()).ok();
                }
            })
            .build()
            .unwrap();
        let asked = std::thread::spawn(move || {
            begins.recv().unwrap();
            let asked = Instant::now();
            cancel.cancel();
            asked
        });
        let result = executor.execute_code("print('begun', flush=True)\nwhile True: pass", "Spin");
        times.push(asked.join().unwrap().elapsed());
        assert_eq!(result.stop_reason, StopReason::Cancelled, "{}", result.summary());
        assert_eq!(result.steps[0].result.as_ref().unwrap().cause, Some(Cause::Cancelled));
    }
    times.sort();
    println!("from the request to the answer: {times:?}");
    assert!(times[times.len() / 2] < SOON, "{times:?}");
}
