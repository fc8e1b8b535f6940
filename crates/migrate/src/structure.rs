//! The rules `pattern` and `rule`: code as ast-grep matches it in the syntax tree, and its replacement.

use std::fmt;

use ast_grep_config::{DenyUnknownKeys, GlobalRules, Rule, RuleConfig, SerializableRuleConfig, SerializableRuleCore};
use ast_grep_core::Matcher;
use ast_grep_core::matcher::MatcherExt;
use ast_grep_core::replacer::Replacer;
use ast_grep_core::tree_sitter::LanguageExt;
use ast_grep_language::SupportLang;
use serde_json::{Map, Value};

use crate::edit::{Edit, Edits, LineEnds};
use crate::error::{Problem, chain};
use crate::form::{RuleForm, take};
use crate::language::Language;
use crate::limits::Allowance;
use crate::literal::{Needed, needed};
use crate::pattern::check_patterns;
use crate::report::Reason;
use crate::syntax::Draft;

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
        let mut edits = Edits::default();
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
                match edits.made.last() {
                    // The same piece of text by another of its names in the grammar.
                    Some(last) if last.range == range => {}
                    Some(last) if range.start < last.range.end => edits.overlapping.push(range.start),
                    _ => {
                        let new = String::from_utf8_lossy(&fixer.generate_replacement(&found)).into_owned();
                        let new = ends.adapt(new);
                        size += new.len();
                        if size > 2 * allowance.limits.bytes.max(text.len()) {
                            return Err(Reason::ResultTooLarge);
                        }
                        if text[range.clone()] != new {
                            edits.made.push(Edit { range, new });
                        }
                    }
                }
                if allowance.is_over() {
                    return Err(Reason::TooSlow);
                }
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
        Ok(edits)
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
    let problem = format!("bad for {}: {}", language.name(), chain(error));
    Problem::of(field, problem, "see the documentation of ast-grep's rules")
}
