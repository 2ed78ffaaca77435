//! Reads filters.

use crate::{
    Comparison, Filter, MOST_BYTES, MOST_COMPARISONS, MOST_DEPTH, Node, Operator,
    error::FilterError,
    field::{FIELDS, Field, Kind, VERSION},
    token::{Token, What, split},
    value::Value,
};
use std::str::FromStr;

impl FromStr for Filter {
    type Err = FilterError;
    /// Parses a filter. An empty one is refused, since it could mean every machine or none.
    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text, &|_, _| Ok(()))
    }
}

/// Says what is wrong with a text that a field is compared with.
pub type CheckText<'a> = dyn Fn(&str, &str) -> Result<(), String> + 'a;

impl Filter {
    /// Parses a filter. `check` is asked about each text without `*`, with the name of its field before it: a group that
    /// does not exist would make `not group = …` select every machine.
    ///
    /// # Errors
    /// When the text is no filter, is empty, or `check` refuses one of its texts.
    pub fn parse(text: &str, check: &CheckText<'_>) -> Result<Self, FilterError> {
        if text.len() > MOST_BYTES {
            return Err(FilterError::new(MOST_BYTES, format!("a filter has at most {MOST_BYTES} bytes")));
        }
        let mut parser = Parser { tokens: split(text)?, check, place: 0, depth: 0, comparisons: 0 };
        if parser.next().what == What::End {
            return Err(FilterError::new(0, "the filter is empty; write `all` for every machine"));
        }
        if parser.takes_word("all") {
            parser.end("every machine is selected already by `all`, which stands alone")?;
            return Ok(Self(Node::All));
        }
        let node = parser.alternatives()?;
        parser.end("`and` or `or` is missing before this")?;
        Ok(Self(node))
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    check: &'a CheckText<'a>,
    place: usize,
    depth: usize,
    comparisons: usize,
}

const END: Token<'static> = Token { at: 0, what: What::End };

impl<'a> Parser<'a> {
    fn next(&self) -> &Token<'a> {
        self.tokens.get(self.place).or(self.tokens.last()).unwrap_or(&END)
    }
    fn advance(&mut self) -> Token<'a> {
        let token = self.next().clone();
        self.place += 1;
        token
    }
    fn is_word(&self, word: &str) -> bool {
        matches!(self.next().what, What::Word(next) if next.eq_ignore_ascii_case(word))
    }
    fn takes_word(&mut self, word: &str) -> bool {
        let is_next = self.is_word(word);
        self.place += usize::from(is_next);
        is_next
    }
    fn takes_sign(&mut self, sign: &str) -> bool {
        let is_next = self.next().what == What::Sign(sign);
        self.place += usize::from(is_next);
        is_next
    }
    fn needs_sign(&mut self, sign: &str, why: &str) -> Result<(), FilterError> {
        let found = self.next().clone();
        if self.takes_sign(sign) {
            return Ok(());
        }
        Err(FilterError::new(found.at, format!("expected `{sign}` {why}, found {}", found.what.describe())))
    }
    fn end(&self, what: &str) -> Result<(), FilterError> {
        let next = self.next();
        match next.what {
            What::End => Ok(()),
            What::Sign(")") => Err(FilterError::new(next.at, "this `)` closes nothing")),
            _ => Err(FilterError::new(next.at, what)),
        }
    }
    fn alternatives(&mut self) -> Result<Node, FilterError> {
        let mut parts = vec![self.conditions()?];
        while self.takes_word("or") {
            parts.push(self.conditions()?);
        }
        Ok(single(parts, Node::Or))
    }
    fn conditions(&mut self) -> Result<Node, FilterError> {
        let mut parts = vec![self.condition()?];
        while self.takes_word("and") {
            parts.push(self.condition()?);
        }
        Ok(single(parts, Node::And))
    }
    fn condition(&mut self) -> Result<Node, FilterError> {
        let at = self.next().at;
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(FilterError::new(at, format!("parentheses and `not` are nested deeper than {MOST_DEPTH}")));
        }
        let node = if self.takes_word("not") {
            Node::Not(Box::new(self.condition()?))
        } else if self.takes_sign("(") {
            let inner = self.alternatives()?;
            self.needs_sign(")", "to close the parenthesis")?;
            inner
        } else if self.is_word("known") {
            self.place += 1;
            self.needs_sign("(", "behind `known`")?;
            let (field, _) = self.field()?;
            self.needs_sign(")", "behind the field")?;
            Node::Known(field)
        } else {
            Node::Comparison(self.comparison()?)
        };
        self.depth -= 1;
        Ok(node)
    }
    fn comparison(&mut self) -> Result<Comparison, FilterError> {
        self.comparisons += 1;
        let (field, at) = self.field()?;
        if self.comparisons > MOST_COMPARISONS {
            return Err(FilterError::new(at, format!("a filter has at most {MOST_COMPARISONS} comparisons")));
        }
        let token = self.advance();
        let operator = match token.what {
            What::Sign(":") => Operator::Equal,
            What::Sign(sign) => {
                let known = Operator::ALL.iter().find(|(text, _)| *text == sign).map(|(_, operator)| *operator);
                known.ok_or_else(|| missing_operator(&field, &token))?
            }
            What::Word(word) if word.eq_ignore_ascii_case("in") => Operator::In,
            _ => return Err(missing_operator(&field, &token)),
        };
        let kind = field.kind();
        if !kind.takes(operator) {
            let known = if kind.has_order() { "<, <=, > or >=" } else { "=, != or in" };
            let what = format!("`{}` is compared with {known}", field.name());
            return Err(FilterError::new(token.at, what));
        }
        let values = if operator == Operator::In {
            self.needs_sign("(", "before the values, such as in (a, b)")?;
            let mut values = vec![self.value(&field, operator)?];
            while self.takes_sign(",") {
                values.push(self.value(&field, operator)?);
            }
            self.needs_sign(")", "behind the values")?;
            self.comparisons += values.len();
            values
        } else {
            vec![self.value(&field, operator)?]
        };
        Ok(Comparison { field, operator, values })
    }
    /// Reads a field. Returns where it begins.
    fn field(&mut self) -> Result<(Field, usize), FilterError> {
        let token = self.advance();
        let What::Word(name) = token.what else {
            let what = format!("expected a field such as `name`, found {}", token.what.describe());
            return Err(FilterError::new(token.at, what));
        };
        if name.eq_ignore_ascii_case(VERSION) {
            self.needs_sign("(", "and a package, such as version(firefox)")?;
            let package = self.advance();
            let package = match package.what {
                What::Word(word) => word.to_owned(),
                What::Quoted(text) => text,
                other => {
                    let what = format!("expected the name of a package, found {}", other.describe());
                    return Err(FilterError::new(package.at, what));
                }
            };
            self.needs_sign(")", "behind the package")?;
            return Ok((Field::VersionOf(package), token.at));
        }
        let field = Field::plain(name).ok_or_else(|| {
            let names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
            let what = format!("`{name}` is no field; the fields are {} and version(PACKAGE)", names.join(", "));
            FilterError::new(token.at, what)
        })?;
        Ok((field, token.at))
    }
    fn value(&mut self, field: &Field, operator: Operator) -> Result<Value, FilterError> {
        let (token, kind) = (self.advance(), field.kind());
        let (text, is_quoted) = match &token.what {
            What::Word(word) => ((*word).to_owned(), false),
            What::Quoted(text) => (text.clone(), true),
            other => {
                let what = format!("expected {}, found {}", kind.example(), other.describe());
                return Err(FilterError::new(token.at, what));
            }
        };
        if let ("", true) = (text.as_str(), kind == Kind::Text) {
            return Err(FilterError::new(token.at, "an empty text matches nothing; ask known(FIELD) instead"));
        }
        let value = Value::read(kind, &text, is_quoted);
        let value = value.filter(|_| !operator.is_order() || kind.has_order()).ok_or_else(|| {
            FilterError::new(token.at, format!("{} is not {}", token.what.describe(), kind.example()))
        })?;
        if let Value::Text(_) = &value {
            (self.check)(field.name(), &text).map_err(|what| FilterError::new(token.at, what))?;
        }
        Ok(value)
    }
}

fn missing_operator(field: &Field, token: &Token<'_>) -> FilterError {
    let signs = if field.kind().has_order() { "a sign such as <" } else { "=, != or in" };
    let what = format!("expected {signs} behind `{}`, found {}", field.name(), token.what.describe());
    FilterError::new(token.at, what)
}

fn single(mut parts: Vec<Node>, join: impl FnOnce(Vec<Node>) -> Node) -> Node {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            join(parts)
        }
        None => join(parts),
    }
}
