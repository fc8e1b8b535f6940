//! The small language between `${{` and `}}`: paths, literals, `==`, `!=`, `&&`, `||`, `!`, parentheses.
//!
//! ```text
//! or      = and *( "||" and )          path  = name *( "." name / "[" index / string "]" )
//! and     = compare *( "&&" compare )  name  = letter or "_", then letters, digits, "_", "-"
//! compare = unary [ ("==" / "!=") unary ]
//! unary   = "!" unary / "(" or ")" / literal / path
//! literal = number / "text" / 'text' / true / false / null
//! ```

use serde_json::{Number, Value};

/// How deep parentheses and `!` may nest: nobody writes more, and the parser calls itself.
const DEPTH: usize = 64;

/// Bytes of one expression: a chain of operators becomes a tree as deep as it is long.
const LONGEST: usize = 2000;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Literal(Value),
    Path(Path),
    Not(Box<Self>),
    Equal(Box<Self>, Box<Self>),
    NotEqual(Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path {
    pub(super) root: String,
    pub(super) rest: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Key(String),
    Index(usize),
}

impl Expression {
    /// Calls `visit` with every path, from left to right.
    pub(super) fn paths<'e>(&'e self, visit: &mut impl FnMut(&'e Path)) {
        match self {
            Self::Literal(_) => {}
            Self::Path(path) => visit(path),
            Self::Not(inner) => inner.paths(visit),
            Self::Equal(a, b) | Self::NotEqual(a, b) | Self::And(a, b) | Self::Or(a, b) => {
                a.paths(visit);
                b.paths(visit);
            }
        }
    }
}

/// Parses what stands between the braces. The error says what was expected and what was found.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { rest: text.trim(), depth: 0 };
    if parser.rest.is_empty() {
        return Err("it is empty".into());
    }
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let expression = parser.or()?;
    match parser.peek() {
        None => Ok(expression),
        Some(_) => Err(format!("expected an operator or the end, found {}", parser.shown())),
    }
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
    fn shown(&self) -> String {
        match self.rest.trim_start() {
            "" => "the end".into(),
            rest => format!("`{}`", rest.chars().take(20).collect::<String>()),
        }
    }
    fn expected<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("expected {what}, found {}", self.shown()))
    }

    fn or(&mut self) -> Result<Expression, String> {
        let mut left = self.and()?;
        while self.take("||") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }
    fn and(&mut self) -> Result<Expression, String> {
        let mut left = self.compare()?;
        while self.take("&&") {
            left = Expression::And(Box::new(left), Box::new(self.compare()?));
        }
        Ok(left)
    }
    fn compare(&mut self) -> Result<Expression, String> {
        let left = self.unary()?;
        if self.take("==") {
            return Ok(Expression::Equal(Box::new(left), Box::new(self.unary()?)));
        }
        if self.take("!=") {
            return Ok(Expression::NotEqual(Box::new(left), Box::new(self.unary()?)));
        }
        Ok(left)
    }
    fn unary(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("it nests more than {DEPTH} deep"));
        }
        let expression = match self.peek() {
            Some('!') => {
                self.take("!");
                Expression::Not(Box::new(self.unary()?))
            }
            Some('(') => {
                self.take("(");
                let inner = self.or()?;
                if !self.take(")") {
                    return self.expected("`)`");
                }
                inner
            }
            Some(quote @ ('"' | '\'')) => Expression::Literal(Value::String(self.text(quote)?)),
            Some(c) if c.is_ascii_digit() || c == '-' => Expression::Literal(Value::Number(self.number()?)),
            Some(c) if starts_name(c) => self.path()?,
            _ => return self.expected("a name or a value"),
        };
        self.depth -= 1;
        Ok(expression)
    }
    fn path(&mut self) -> Result<Expression, String> {
        let root = self.name();
        match root.as_str() {
            "true" => return Ok(Expression::Literal(Value::Bool(true))),
            "false" => return Ok(Expression::Literal(Value::Bool(false))),
            "null" => return Ok(Expression::Literal(Value::Null)),
            _ => {}
        }
        let mut rest = Vec::new();
        loop {
            if let Some(after) = self.rest.strip_prefix('.') {
                self.rest = after;
                // A list's element may be written `.0`, as in jq and templates.
                let name = if after.starts_with(|c: char| c.is_ascii_digit()) { self.digits() } else { self.name() };
                if name.is_empty() {
                    return self.expected("a name after `.`");
                }
                rest.push(Part::Key(name));
            } else if let Some(after) = self.rest.strip_prefix('[') {
                self.rest = after;
                match self.peek() {
                    Some(quote @ ('"' | '\'')) => rest.push(Part::Key(self.text(quote)?)),
                    Some(c) if c.is_ascii_digit() => {
                        let digits = self.digits();
                        let index = digits.parse().map_err(|_| format!("the index {digits} is too large"))?;
                        rest.push(Part::Index(index));
                    }
                    _ => return self.expected("an index or a quoted name after `[`"),
                }
                if !self.take("]") {
                    return self.expected("`]`");
                }
            } else {
                return Ok(Expression::Path(Path { root, rest }));
            }
        }
    }
    fn name(&mut self) -> String {
        if !self.rest.starts_with(starts_name) {
            return String::new();
        }
        self.cut(|c| c.is_alphanumeric() || c == '_' || c == '-')
    }
    fn digits(&mut self) -> String {
        self.cut(|c| c.is_ascii_digit())
    }
    fn cut(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_owned()
    }
    fn number(&mut self) -> Result<Number, String> {
        let text = self.cut(|c| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E'));
        serde_json::from_str(&text).map_err(|_| format!("`{text}` is no number"))
    }
    fn text(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((_, c)) = chars.next() {
            if c == quote {
                self.rest = chars.next().map_or("", |(at, _)| &self.rest[at..]);
                return Ok(text);
            }
            match c {
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
                    _ => return Err("after `\\` comes n, t, a quote or another `\\`".into()),
                },
                c => text.push(c),
            }
        }
        Err(format!("the text that starts with {quote} does not end"))
    }
}

fn starts_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_is_not_then_compare_then_and_then_or() {
        let parsed = parse("a || !b && c == 1").unwrap();
        assert!(matches!(parsed, Expression::Or(_, ref right) if matches!(**right, Expression::And(..))), "{parsed:?}");
        assert!(matches!(parse("(a || b) && c").unwrap(), Expression::And(..)));
    }

    #[test]
    fn paths_take_names_indexes_and_quoted_names() {
        let Expression::Path(path) = parse("steps.my-id.metadata['a b'][0].x").unwrap() else { panic!() };
        let key = |name: &str| Part::Key(name.into());
        assert_eq!(path.root, "steps");
        assert_eq!(path.rest, [key("my-id"), key("metadata"), key("a b"), Part::Index(0), key("x")]);
    }

    #[test]
    fn errors_say_what_was_expected() {
        for (text, part) in [
            ("", "empty"),
            ("a.", "a name after `.`"),
            ("a ==", "a name or a value, found the end"),
            ("(a", "`)`"),
            ("a b", "an operator or the end, found `b`"),
            ("'x", "does not end"),
            ("a[-1]", "an index"),
            ("1.2.3", "no number"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(parse(&"(".repeat(1_000)).unwrap_err().contains("nests"));
        assert!(parse(&"!".repeat(1_000)).unwrap_err().contains("nests"));
        assert!(parse(&"a||".repeat(10_000)).unwrap_err().contains("longer than"));
        assert!(parse(&format!("{}a", "a||".repeat(600))).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "[ -~é\n]{0,60}") {
            let _ = parse(&text);
        }
        #[test]
        fn any_tokens_parse_or_are_refused(tokens in proptest::collection::vec(
            proptest::sample::select(vec!["steps", ".", "a", "[", "0", "]", "'", "\"", "(", ")", "!", "==", "&&", "||", "-1", "\\", " "]), 0..40)) {
            let _ = parse(&tokens.concat());
        }
    }
}
