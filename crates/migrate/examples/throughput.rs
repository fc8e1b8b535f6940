//! How many files a second the rules get through: 5,000 Python files, made up and rewritten in memory.
//!
//! `cargo run --release -p agentic-migrate --example throughput [FILES]`

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use agentic_migrate::{Rewrite, RuleSet};

const RENAME: &str = "rules: [{identifier: {from: fetch_rows, to: load_rows}}]";

const MIXED: &str = r#"
rules:
  - identifier: { from: fetch_rows, to: load_rows }
  - identifier: { from: OldClient, to: Client }
  - { language: python, pattern: "assert_equal($A, $B)", fix: "assert $A == $B" }
  - { language: python, pattern: "client.send($HOST, $BODY)", fix: "client.send(body=$BODY, host=$HOST)" }
  - id: logging
    language: python
    rule:
      pattern: print($$$ARGS)
      inside: { kind: function_definition, stopBy: end }
    fix: log.info($$$ARGS)
  - regex: { pattern: 'https?://old\.example\.com', replacement: 'https://new.example.com', scope: strings }
"#;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(5000);
    let mut random = 7;
    let every: Vec<String> = (0..count).map(|_| file(&mut random, 1)).collect();
    let tenth: Vec<String> = (0..count).map(|_| file(&mut random, 10)).collect();
    for (name, rules) in [("one rename", RENAME), ("six rules", MIXED)] {
        measure(&format!("{name}, every file concerned"), rules, &every);
        measure(&format!("{name}, one file in ten concerned"), rules, &tenth);
    }
}

fn measure(name: &str, rules: &str, files: &[String]) {
    let began = Instant::now();
    let rules = RuleSet::from_yaml(rules, "rules.yaml").expect("the rules are right");
    let compiled = began.elapsed();
    let path = Path::new("app/module.py");
    let began = Instant::now();
    let reports: Vec<Rewrite> = files.iter().map(|text| rules.rewrite(path, text)).collect();
    let took = began.elapsed();
    let bytes: usize = files.iter().map(String::len).sum();
    let changed = reports.iter().filter(|report| report.text.is_some()).count();
    let matches: usize = reports.iter().map(|report| report.matches.len()).sum();
    println!("{name}: {} of {} files changed by {matches} matches", changed, files.len());
    println!("  compiled in {compiled:.1?}, {:.0} files/s, {:.1} MB/s", per(files.len(), took), per(bytes, took) / 1e6);
}

fn per(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// A module of about 150 lines; one in `share` uses what the rules are about.
fn file(random: &mut u64, share: u64) -> String {
    let mut next = |below: u64| {
        *random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*random >> 33) % below
    };
    let concerned = next(share) == 0;
    let mut text = String::from("\"\"\"A module.\"\"\"\nimport os\n\n");
    for number in 0..12 {
        let kind = next(4);
        let _ = writeln!(text, "class Thing{number}:\n    \"\"\"Thing {number}.\"\"\"\n");
        let _ = writeln!(text, "    def step(self, rows, limit={kind}):  # {kind} at a time");
        let _ = writeln!(text, "        total = sum(row.value * {number} for row in rows if row.value > limit)");
        let _ = writeln!(
            text,
            "        if total and self.name != f\"thing-{{total}}\":\n            return [total, limit]"
        );
        if concerned {
            let _ = writeln!(text, "        rows = fetch_rows(limit, source='https://old.example.com/{number}')");
            let _ = writeln!(text, "        client = OldClient(rows)\n        client.send('host', rows[{kind}])");
            let _ = writeln!(text, "        assert_equal(len(rows), {number})\n        print('done', rows)");
        }
        let _ = writeln!(text, "        return {{'total': total, 'limit': limit, 'path': os.sep}}\n");
    }
    text
}
