//! A random DAG of 2,000 steps: every step once, none before what it depends on, in each mode; and its price.

mod run_support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentic_executor::tools::Resources;
use agentic_executor::{AgenticExecutor, ExecutionMode, ExecutionPlan, Tool, ToolCall, ToolContext, ToolResult};
use run_support::{Place, fake, plan, step};
use serde_json::{Map, Value, json};

const STEPS: usize = 2000;

/// Numbers without a pattern (SplitMix64), the same in every run of the test for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % most as u64) as usize
    }
}

/// Steps in shuffled order, each depending on up to four that come before it in a hidden order.
fn random_plan(seed: u64) -> ExecutionPlan {
    let mut random = Random(seed);
    let mut steps: Vec<_> = (0..STEPS)
        .map(|number| {
            let mut after: Vec<String> = Vec::new();
            if number > 0 {
                for _ in 0..random.below(5) {
                    let near = number - 1 - random.below(number.min(200));
                    after.push(format!("s{near}"));
                }
                after.sort();
                after.dedup();
            }
            let names: Vec<&str> = after.iter().map(String::as_str).collect();
            step(&format!("s{number}"), "work", json!({ "number": number }), &names)
        })
        .collect();
    for at in (1..steps.len()).rev() {
        steps.swap(at, random.below(at + 1));
    }
    plan(steps)
}

/// Steps on the longest way through the plan.
fn longest_way(plan: &ExecutionPlan) -> usize {
    let steps: HashMap<&str, _> = plan.steps.iter().map(|step| (step.id.as_str(), step)).collect();
    let mut depth: HashMap<String, usize> = HashMap::new();
    // In the hidden order every step comes after what it depends on.
    for number in 0..STEPS {
        let name = format!("s{number}");
        let before = steps[name.as_str()].depends_on.iter().map(|id| depth[id.as_str()]).max().unwrap_or(0);
        depth.insert(name, before + 1);
    }
    depth.into_values().max().unwrap()
}

fn executor(place: &Place, mode: ExecutionMode, work: run_support::Fake) -> AgenticExecutor {
    let mut config = place.config();
    config.budgets.steps = STEPS;
    AgenticExecutor::builder(config).registry(run_support::registry([work])).mode(mode).build().unwrap()
}

#[test]
fn every_step_runs_once_and_none_before_what_it_depends_on() {
    for (mode, seed) in [(ExecutionMode::Sequential, 1), (ExecutionMode::Parallel, 2), (ExecutionMode::Parallel, 3)] {
        let plan = random_plan(seed);
        let place = Place::new();
        let log: Arc<Mutex<Vec<(bool, usize)>>> = Arc::default();
        let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen, running, peak) = (Arc::clone(&log), Arc::clone(&at_once), Arc::clone(&most));
        let work = fake("work", move |call, _| {
            let number = call.params["number"].as_u64().unwrap() as usize;
            peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            seen.lock().unwrap().push((true, number));
            std::thread::sleep(Duration::from_micros(200));
            seen.lock().unwrap().push((false, number));
            running.fetch_sub(1, Ordering::SeqCst);
            ToolResult::success("")
        });
        let executor = executor(&place, mode, work);
        let began = Instant::now();
        let result = executor.execute_plan(plan.clone());
        let wall = began.elapsed();
        assert!(result.success, "{}", result.summary());
        println!(
            "{mode:?}: {STEPS} steps in {wall:?}; the longest way has {} steps, {} ran at once",
            longest_way(&plan),
            most.load(Ordering::SeqCst)
        );
        match mode {
            ExecutionMode::Parallel => assert!((2..=4).contains(&most.load(Ordering::SeqCst)), "bounded and used"),
            _ => assert_eq!(most.load(Ordering::SeqCst), 1),
        }
        let (mut started, mut ended) = (vec![None; STEPS], vec![None; STEPS]);
        for (at, (start, number)) in log.lock().unwrap().iter().enumerate() {
            let list = if *start { &mut started } else { &mut ended };
            assert!(list[*number].replace(at).is_none(), "step {number} ran twice");
        }
        for step in &plan.steps {
            let number: usize = step.id.as_str()[1..].parse().unwrap();
            for before in &step.depends_on {
                let before: usize = before.as_str()[1..].parse().unwrap();
                assert!(ended[before].unwrap() < started[number].unwrap(), "s{number} began before s{before} ended");
            }
        }
    }
}

/// A tool whose calls name what they share.
struct Keyed(Arc<Mutex<HashMap<String, usize>>>, Arc<AtomicUsize>);

impl Tool for Keyed {
    fn name(&self) -> &str {
        "work"
    }
    fn description(&self) -> &str {
        "holds a key for a while"
    }
    fn schema(&self) -> Value {
        json!({ "type": "object", "properties": { "number": { "type": "integer" } } })
    }
    fn access(&self, _: &Map<String, Value>) -> agentic_executor::tools::Access {
        agentic_executor::tools::Access::None
    }
    fn resources(&self, params: &Map<String, Value>) -> Resources {
        match params["number"].as_u64().unwrap() % 5 {
            4 => Resources::Undeclared,
            key => Resources::Keys(vec![format!("k{key}"), "k0".into()]),
        }
    }
    fn execute(&self, call: &ToolCall, _: &ToolContext<'_>) -> ToolResult {
        let keys = match self.resources(&call.params) {
            Resources::Keys(keys) => keys,
            _ => vec!["everything".into()],
        };
        {
            let mut held = self.0.lock().unwrap();
            let alone = held.contains_key("everything") || (keys[0] == "everything" && !held.is_empty());
            let shared = keys.iter().any(|key| held.contains_key(key));
            if alone || shared {
                self.1.fetch_add(1, Ordering::SeqCst);
            }
            keys.iter().for_each(|key| *held.entry(key.clone()).or_default() += 1);
        }
        std::thread::sleep(Duration::from_micros(100));
        let mut held = self.0.lock().unwrap();
        for key in &keys {
            held.remove(key);
        }
        ToolResult::success("")
    }
}

#[test]
fn calls_that_share_a_resource_never_overlap() {
    let place = Place::new();
    let clashes = Arc::new(AtomicUsize::new(0));
    let registry = agentic_executor::ToolRegistry::new();
    registry.register(Arc::new(Keyed(Arc::default(), Arc::clone(&clashes)))).unwrap();
    let mut config = place.config();
    config.budgets.steps = STEPS;
    let executor = AgenticExecutor::builder(config).registry(registry).mode(ExecutionMode::Parallel).build().unwrap();
    let result = executor.execute_plan(random_plan(7));
    assert!(result.success, "{}", result.summary());
    assert_eq!(clashes.load(Ordering::SeqCst), 0);
}

/// The disk's own sync apart: the journal in memory is everything but it.
#[test]
fn what_a_step_costs() {
    let place = Place::new();
    for mode in [ExecutionMode::Sequential, ExecutionMode::Parallel] {
        for durable in [true, false] {
            let mut config = place.config();
            config.budgets.steps = STEPS;
            let tools = run_support::registry([fake("work", |_, _| ToolResult::success(""))]);
            let mut builder = AgenticExecutor::builder(config).registry(tools).mode(mode);
            if !durable {
                builder = builder.journal(Arc::new(agentic_executor::Journal::in_memory().unwrap()));
            }
            let executor = builder.build().unwrap();
            let plan = random_plan(11);
            let began = Instant::now();
            let result = executor.execute_plan(plan);
            let each = began.elapsed() / STEPS as u32;
            assert!(result.success, "{}", result.summary());
            println!("{mode:?}, durable {durable}: {each:?} a step; debug build: {}", cfg!(debug_assertions));
        }
    }
}
