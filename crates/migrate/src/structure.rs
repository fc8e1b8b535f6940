//! The rules `pattern` and `rule`: code as ast-grep matches it in the syntax tree, and its replacement.

use std::fmt;

use ast_grep_config::{DenyUnknownKeys, GlobalRules, Rule, RuleConfig, SerializableRuleConfig, SerializableRuleCore};
use ast_grep_core::Matcher;
use ast_grep_core::language::Language as _;
use ast_grep_core::matcher::{MatcherExt, PatternNode};
use ast_grep_core::replacer::Replacer;
use ast_grep_core::tree_sitter::LanguageExt;
use ast_grep_language::SupportLang;
use serde_json::{Map, Value};

use crate::edit::{Edit, Edits, LineEnds};
use crate::error::{Problem, chain};
use crate::form::{RuleForm, take};
use crate::language::Language;
use crate::limits::{Allowance, Limits};
use crate::literal::{Needed, needed, read_pattern};
use crate::report::Reason;
use crate::syntax::{Draft, parse};

/// The longest and the deepest pattern. Reading one recurses.
const MOST_BYTES: usize = 16 << 10;
const MOST_LEVELS: usize = 200;

/// A rule of ast-grep, ready to run for each of its languages.
pub(crate) struct Structure(Vec<(Language, Compiled)>);

struct Compiled {
    config: RuleConfig<SupportLang>,
    /// Written as `pattern`: what follows the pattern's own end, as a semicolon does, stays. For `rule` ast-grep
    /// replaces the whole node, and its rule files count on that.
    short: bool,
    /// By number, the kinds of nodes that may match.
    kinds: Vec<bool>,
    needed: Option<Needed>,
}

impl fmt::Debug for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(language, compiled)| (language, &compiled.needed))).finish()
    }
}

impl Structure {
    /// `fields` are those of the form, as they were written.
    pub(crate) fn compile(
        form: &RuleForm,
        fields: &Map<String, Value>,
        languages: &[Language],
    ) -> Result<Self, Problem> {
        let field = if form.pattern.is_some() { "pattern" } else { "rule" };
        if languages.is_empty() {
            let help = "name the language of the code, or a list of languages";
            return Err(Problem::of("language", format!("`{field}` needs a language"), help));
        }
        if form.fix.is_none() {
            let problem = format!("`{field}` needs a `fix`");
            return Err(Problem::of("fix", problem, "give the text in place of a match; \"\" deletes it"));
        }
        let compile = |language: &Language| Ok((*language, compile(form, fields, *language)?));
        languages.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    fn of(&self, language: Language) -> Option<&Compiled> {
        self.0.iter().find(|(known, _)| *known == language).map(|(_, compiled)| compiled)
    }

    pub(crate) fn may_match(&self, text: &str, language: Option<Language>) -> bool {
        let compiled = language.and_then(|language| self.of(language));
        compiled.is_some_and(|compiled| compiled.needed.as_ref().is_none_or(|needed| needed.is_in(text)))
    }

    pub(crate) fn find(
        &self,
        draft: &mut Draft<'_>,
        language: Option<Language>,
        allowance: &Allowance,
    ) -> Result<Edits, Reason> {
        let Some((language, compiled)) = language.and_then(|language| Some((language, self.of(language)?))) else {
            return Ok(Edits::default());
        };
        let parsed = draft.parsed(language, allowance)?;
        let text = parsed.get_text();
        let ends = LineEnds::of(text);
        let (matcher, fixer) = (&compiled.config.matcher, &compiled.config.fixer[0]);
        let mut edits = Vec::new();
        let mut size = text.len();
        let mut cursor = parsed.root().get_inner_node().walk();
        let (mut depth, mut steps) = (0, 0u32);
        'nodes: loop {
            let node = cursor.node();
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(64) && allowance.is_over() {
                return Err(Reason::TooSlow);
            }
            if compiled.kinds.get(usize::from(node.kind_id())).copied().unwrap_or(true)
                && let Some(found) = matcher.match_node(parsed.adopt(node))
            {
                let range = match (&**matcher, compiled.short) {
                    (Rule::Pattern(pattern), true) => fixer.get_replaced_range(&found, pattern),
                    _ => fixer.get_replaced_range(&found, matcher),
                };
                let new = String::from_utf8_lossy(&fixer.generate_replacement(&found)).into_owned();
                size += new.len();
                if size > 16 * allowance.limits.bytes.max(text.len()) {
                    return Err(Reason::ResultTooLarge);
                }
                edits.push(Edit { range, new: ends.adapt(new) });
            }
            if cursor.goto_first_child() {
                depth += 1;
                if depth > allowance.limits.depth {
                    return Err(Reason::TooDeep);
                }
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    break 'nodes;
                }
                depth -= 1;
            }
        }
        Ok(Edits::choose(text, edits))
    }
}

fn compile(form: &RuleForm, fields: &Map<String, Value>, language: Language) -> Result<Compiled, Problem> {
    let grammar = language.grammar();
    for (name, value) in fields {
        if matches!(name.as_str(), "pattern" | "rule" | "constraints" | "utils" | "rewriters" | "fix") {
            check_patterns(name, name, value, language)?;
        }
    }
    let written = match (&form.pattern, &form.rule) {
        (Some(pattern), _) => Value::Object(Map::from_iter([("pattern".to_owned(), pattern.clone())])),
        (None, _) => fields.get("rule").cloned().unwrap_or_default(),
    };
    let field = if form.pattern.is_some() { "pattern" } else { "rule" };
    let fix = form.fix.clone().unwrap_or_default();
    let config = SerializableRuleConfig {
        core: SerializableRuleCore {
            rule: take(field, written.clone(), "write a text, or `{context: CODE, selector: KIND}`")?,
            constraints: form.constraints.clone(),
            utils: form.utils.clone(),
            transform: form.transform.clone(),
        },
        fix: Some(take("fix", fix, "write a text, or `{template: TEXT, expandEnd: RULE}`")?),
        rewriters: form.rewriters.clone(),
        id: String::new(),
        language: grammar,
        message: String::new(),
        note: None,
        severity: Default::default(),
        labels: None,
        files: None,
        ignores: None,
        url: None,
        metadata: None,
        unknown_keys: DenyUnknownKeys,
    };
    let config =
        RuleConfig::try_from(config, &GlobalRules::default()).map_err(|error| wrong(field, language, &error))?;
    if config.fixer.len() != 1 {
        let problem = format!("there are {} alternatives", config.fixer.len());
        return Err(Problem::of("fix", problem, "choose one: nobody is asked here"));
    }
    let kinds = config.matcher.potential_kinds();
    let count = grammar.get_ts_language().node_kind_count();
    let kinds = (0..count).map(|kind| kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))).collect();
    let utils = fields.get("utils").and_then(Value::as_object).cloned().unwrap_or_default();
    let needed = needed(&written, &utils, grammar, 20).map(|texts| Needed::new(&texts));
    Ok(Compiled { config, short: form.pattern.is_some(), kinds, needed })
}

/// Looks at every pattern within a value: that it is not too large to be read, and is code of the language.
fn check_patterns(path: &str, key: &str, value: &Value, language: Language) -> Result<(), Problem> {
    let code = match value {
        Value::String(code) if key == "pattern" => Some(code),
        Value::Object(fields) if key == "pattern" => match fields.get("context") {
            Some(Value::String(code)) => Some(code),
            _ => None,
        },
        _ => None,
    };
    if let Some(code) = code {
        return check_pattern(path, code, value, language);
    }
    match value {
        Value::Object(fields) => {
            fields.iter().try_for_each(|(key, value)| check_patterns(&format!("{path}.{key}"), key, value, language))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(place, value)| check_patterns(&format!("{path}[{place}]"), "", value, language)),
        _ => Ok(()),
    }
}

fn check_pattern(path: &str, code: &str, value: &Value, language: Language) -> Result<(), Problem> {
    let name = language.name();
    let shown = crate::edit::short(code);
    let bad =
        |why: String, help: &str| Err(Problem::of(path, format!("bad pattern {shown:?} for {name}: {why}"), help));
    let simpler = "a pattern is one piece of code, with `$NAME` for one node and `$$$NAME` for any number; a piece that \
                   cannot stand alone is `{context: CODE, selector: KIND}`";
    if code.len() > MOST_BYTES {
        return bad(format!("it is longer than {MOST_BYTES} bytes"), "use a shorter one");
    }
    let source = language.grammar().pre_process_pattern(code);
    let Some(tree) = parse(&source, language, None, &Allowance::begin(Limits::default())) else {
        return bad("it takes too long to parse".into(), "use a shorter one");
    };
    let mut cursor = tree.walk();
    let mut depth = 0;
    'nodes: loop {
        if cursor.goto_first_child() {
            depth += 1;
            if depth > MOST_LEVELS {
                return bad(format!("it is nested deeper than {MOST_LEVELS} levels"), "use a flatter one");
            }
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                break 'nodes;
            }
            depth -= 1;
        }
    }
    let pattern = match read_pattern(value, language.grammar()) {
        Ok(pattern) => pattern,
        Err(error) => return bad(chain(&error), simpler),
    };
    let mut rest = vec![&pattern.node];
    while let Some(node) = rest.pop() {
        let kind = match node {
            PatternNode::Terminal { kind_id, .. } => *kind_id,
            PatternNode::Internal { kind_id, children } => {
                rest.extend(children);
                *kind_id
            }
            PatternNode::MetaVar { .. } => continue,
        };
        if kind == u16::MAX {
            return bad("it does not parse".into(), simpler);
        }
    }
    Ok(())
}

/// An error of ast-grep, by the field that it is about.
fn wrong(field: &str, language: Language, error: &ast_grep_config::RuleConfigError) -> Problem {
    use ast_grep_config::{RuleConfigError as Config, RuleCoreError as Core};
    let field = match error {
        Config::Core(Core::UndefinedMetaVar(name, place)) => {
            let help = format!("use one that the {field} captures, in capitals: `$NAME` or `$$$NAME`");
            return Problem::of(*place, format!("nothing captures `${name}`"), help);
        }
        Config::MissingPotentialKinds => {
            let help = "add `kind` or `pattern`, so that not every node has to be tried";
            return Problem::of(field, "the rule does not say which kinds of nodes it is about", help);
        }
        Config::Core(Core::Utils(_)) => "utils",
        Config::Core(Core::Constraints(_)) => "constraints",
        Config::Core(Core::Transform(_)) | Config::UndefinedRewriter(_) => "transform",
        Config::Fixer(_) => "fix",
        Config::Rewriter(_) => "rewriters",
        _ => field,
    };
    Problem::of(
        field,
        format!("bad for {}: {}", language.name(), chain(error)),
        "see the documentation of ast-grep's rules",
    )
}
