//! The grammar of the text form: apimachinery's Lexer and Parser, whose words its errors keep.

use super::label::{Operator, Requirement};
use super::validate;
use crate::error::quote;
use crate::{Error, Result, Str};
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Error,
    End,
    Identifier,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

fn token_of(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::Close,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::DoubleEquals,
        "=" => Token::Equals,
        ">" => Token::Greater,
        "in" => Token::In,
        "<" => Token::Less,
        "!=" => Token::NotEquals,
        "notin" => Token::NotIn,
        "(" => Token::Open,
        _ => return None,
    })
}

fn special(b: u8) -> bool {
    b"=!(),><".contains(&b)
}

fn scan(text: &str) -> Vec<(Token, String)> {
    let bytes = text.as_bytes();
    let (mut items, mut at) = (Vec::new(), 0);
    loop {
        while at < bytes.len() && b" \t\r\n".contains(&bytes[at]) {
            at += 1;
        }
        // There a NUL ends the text too.
        if at >= bytes.len() || bytes[at] == 0 {
            items.push((Token::End, String::new()));
            return items;
        }
        let start = at;
        if special(bytes[at]) {
            let mut last = None;
            while at < bytes.len() && special(bytes[at]) {
                match token_of(&text[start..=at]) {
                    Some(token) => last = Some((token, text[start..=at].to_owned())),
                    None if last.is_some() => break,
                    None => {}
                }
                at += 1;
            }
            items.push(
                last.unwrap_or_else(|| (Token::Error, format!("error expected: keyword found '{}'", &text[start..at]))),
            );
        } else {
            while at < bytes.len() && bytes[at] != 0 && !special(bytes[at]) && !b" \t\r\n".contains(&bytes[at]) {
                at += 1;
            }
            let word = &text[start..at];
            items.push((token_of(word).unwrap_or(Token::Identifier), word.to_owned()));
        }
    }
}

struct Parser {
    items: Vec<(Token, String)>,
    at: usize,
}

fn found(literal: &str, expected: &str) -> Error {
    Error::LabelSelector(format!("found '{literal}', expected: {expected}"))
}

pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>> {
    let mut p = Parser { items: scan(text), at: 0 };
    let mut out = Vec::new();
    loop {
        let (token, literal) = p.look();
        match token {
            Token::Identifier | Token::Not => {
                let requirement = p.requirement();
                out.push(requirement.map_err(|e| Error::LabelSelector(format!("unable to parse requirement: {e}")))?);
                let (token, literal) = p.next();
                match token {
                    Token::End => return Ok(out),
                    Token::Comma => {
                        let (token, literal) = p.look();
                        if !matches!(token, Token::Identifier | Token::Not) {
                            return Err(found(&literal, "identifier after ','"));
                        }
                    }
                    _ => return Err(found(&literal, "',' or 'end of string'")),
                }
            }
            Token::End => return Ok(out),
            _ => return Err(found(&literal, "!, identifier, or 'end of string'")),
        }
    }
}

impl Parser {
    fn raw(&self) -> (Token, String) {
        self.items.get(self.at).cloned().unwrap_or((Token::End, String::new()))
    }

    /// The token here, where `in` and `notin` are words like others.
    fn look(&self) -> (Token, String) {
        match self.raw() {
            (Token::In | Token::NotIn, literal) => (Token::Identifier, literal),
            other => other,
        }
    }

    fn next(&mut self) -> (Token, String) {
        let item = self.look();
        self.at += 1;
        item
    }

    fn requirement(&mut self) -> Result<Requirement> {
        let (mut token, mut key) = self.next();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.next();
        }
        if token != Token::Identifier {
            return Err(found(&key, "identifier"));
        }
        let sentences = validate::qualified_name(&key);
        if !sentences.is_empty() {
            let message = format!("<nil>: Invalid value: {}: {}", quote(&key), sentences.join("; "));
            return Err(Error::LabelSelector(message));
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.look().0, Token::End | Token::Comma) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let (token, literal) = self.raw();
        self.at += 1;
        let operator = match token {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            _ => return Err(found(&literal, "in, notin, =, ==, !=, gt, lt")),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => self.exact()?,
        };
        Requirement::new(key, operator, values.into_iter().map(Str::from).collect())
    }

    fn values(&mut self) -> Result<BTreeSet<String>> {
        let (token, literal) = self.next();
        if token != Token::Open {
            return Err(Error::LabelSelector(format!("found '{literal}' expected: '('")));
        }
        let (token, literal) = self.look();
        match token {
            Token::Identifier | Token::Comma => {
                let set = self.identifiers()?;
                if self.next().0 != Token::Close {
                    return Err(found(&literal, "')'"));
                }
                Ok(set)
            }
            Token::Close => {
                self.at += 1;
                Ok(BTreeSet::from([String::new()]))
            }
            _ => Err(found(&literal, "',', ')' or identifier")),
        }
    }

    /// A list in which names may be missing: `(,a)`, `(a,,b)`, `(a,)` hold the empty value too.
    fn identifiers(&mut self) -> Result<BTreeSet<String>> {
        let mut set = BTreeSet::new();
        loop {
            let (token, literal) = self.next();
            match token {
                Token::Identifier => {
                    set.insert(literal);
                    match self.look() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(set),
                        (_, literal) => return Err(found(&literal, "',' or ')'")),
                    }
                }
                Token::Comma => {
                    if set.is_empty() {
                        set.insert(String::new());
                    }
                    match self.look().0 {
                        Token::Close => {
                            set.insert(String::new());
                            return Ok(set);
                        }
                        Token::Comma => {
                            self.at += 1;
                            set.insert(String::new());
                        }
                        _ => {}
                    }
                }
                _ => return Err(found(&literal, "',', or identifier")),
            }
        }
    }

    fn exact(&mut self) -> Result<BTreeSet<String>> {
        if matches!(self.look().0, Token::End | Token::Comma) {
            return Ok(BTreeSet::from([String::new()]));
        }
        match self.next() {
            (Token::Identifier, literal) => Ok(BTreeSet::from([literal])),
            (_, literal) => Err(found(&literal, "identifier")),
        }
    }
}
