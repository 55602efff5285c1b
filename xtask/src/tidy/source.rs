//! A parsed Rust file: its lines of code, its functions and the paths that it names.
//!
//! A line of code has at least one token that is not part of a doc comment. Items with `#[cfg(test)]` are test code.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::ops::RangeInclusive;

use proc_macro2::token_stream::IntoIter;
use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ImplItemFn, Item, ItemFn, Meta, Signature, TraitItemFn};

/// A parsed Rust file.
pub(super) struct Source {
    pub(super) file: syn::File,
    tokens: TokenStream,
    code_lines: BTreeSet<usize>,
}

/// A function and how many lines of code it has.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) first_line: usize,
    pub(super) code_lines: usize,
}

impl Source {
    /// Parses the text of a file.
    pub(super) fn parse(text: &str) -> syn::Result<Self> {
        let tokens: TokenStream = text.parse().map_err(syn::Error::from)?;
        let mut code_lines = BTreeSet::new();
        add_code_lines(tokens.clone(), &mut code_lines);
        Ok(Self { file: syn::parse2(tokens.clone())?, tokens, code_lines })
    }

    /// The number of lines of code outside tests.
    pub(super) fn code_lines_without_tests(&self) -> usize {
        let tests = self.test_lines();
        self.code_lines.iter().filter(|line| !tests.iter().any(|test| test.contains(line))).count()
    }

    /// The modules with `#[cfg(test)]` whose text is in a file of its own.
    pub(super) fn test_modules(&self) -> Vec<String> {
        let test_module = |item: &Item| match item {
            Item::Mod(module) if module.content.is_none() && is_test(&module.attrs) => Some(module.ident.to_string()),
            _ => None,
        };
        self.file.items.iter().filter_map(test_module).collect()
    }

    /// All functions with a body, methods included.
    pub(super) fn functions(&self) -> Vec<Function> {
        let mut functions = Functions { code_lines: &self.code_lines, found: Vec::new() };
        functions.visit_file(&self.file);
        functions.found
    }

    /// The paths outside tests that begin with `crate`, `super` or `self`, as lists of their segments.
    pub(super) fn local_paths(&self) -> Vec<Vec<String>> {
        let tests = self.test_lines();
        let is_code = |token: &TokenTree| !tests.iter().any(|test| test.contains(&token.span().start().line));
        let mut paths = Vec::new();
        find_paths(self.tokens.clone().into_iter().filter(is_code).collect(), &mut paths);
        paths
    }

    fn test_lines(&self) -> Vec<RangeInclusive<usize>> {
        let lines = |span: Span| span.start().line..=span.end().line;
        self.file.items.iter().filter(|item| is_test(attributes(item))).map(|item| lines(item.span())).collect()
    }
}

struct Functions<'a> {
    code_lines: &'a BTreeSet<usize>,
    found: Vec<Function>,
}

impl Functions<'_> {
    fn add(&mut self, signature: &Signature, body: &Block) {
        let (first_line, last_line) = (signature.span().start().line, body.span().end().line);
        let code_lines = self.code_lines.range(first_line..=last_line).count();
        self.found.push(Function { name: signature.ident.to_string(), first_line, code_lines });
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.add(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

fn add_code_lines(tokens: TokenStream, lines: &mut BTreeSet<usize>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' && skip_doc_comment(&mut tokens) => {}
            TokenTree::Group(group) => {
                lines.extend([group.span_open().start().line, group.span_close().end().line]);
                add_code_lines(group.stream(), lines);
            }
            token => lines.extend(token.span().start().line..=token.span().end().line),
        }
    }
}

/// After a `#`: skips `[doc = …]` or `![doc = …]` and returns whether it was there.
fn skip_doc_comment(tokens: &mut Peekable<IntoIter>) -> bool {
    let mut ahead = tokens.clone();
    if matches!(ahead.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == '!') {
        ahead.next();
    }
    let is_doc = match ahead.next() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(name)) if name == "doc")
        }
        _ => false,
    };
    if is_doc {
        *tokens = ahead;
    }
    is_doc
}

/// Finds `crate::…`, `super::…` and `self::…` anywhere, in macros too.
fn find_paths(tokens: TokenStream, paths: &mut Vec<Vec<String>>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(first) if ["crate", "super", "self"].iter().any(|root| first == root) => {
                read_path(vec![first.to_string()], &mut tokens, paths);
            }
            TokenTree::Group(group) => find_paths(group.stream(), paths),
            _ => {}
        }
    }
}

/// Reads the rest of a path after its first segments; a group in braces continues it in several ways.
fn read_path(mut path: Vec<String>, tokens: &mut Peekable<IntoIter>, paths: &mut Vec<Vec<String>>) {
    while skip_colons(tokens) {
        match tokens.next() {
            Some(TokenTree::Ident(segment)) => path.push(segment.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let mut inside = group.stream().into_iter().peekable();
                while let Some(token) = inside.next() {
                    if let TokenTree::Ident(segment) = token {
                        let continued = path.iter().cloned().chain([segment.to_string()]).collect();
                        read_path(continued, &mut inside, paths);
                    }
                }
                return;
            }
            _ => break,
        }
    }
    paths.push(path);
}

fn skip_colons(tokens: &mut Peekable<IntoIter>) -> bool {
    let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':');
    tokens.next_if(is_colon).is_some() && tokens.next_if(is_colon).is_some()
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
        _ => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "//! Head.\n\n/// Doc.\nfn one(\n    a: u8,\n) -> u8 {\n    // Why.\n\n    a\n}\n\n\
        #[cfg(test)]\nmod tests {\n    use super::*;\n    fn two() {}\n}\n";

    #[test]
    fn comments_blanks_and_tests_are_no_code() {
        let source = Source::parse(TEXT).unwrap();
        assert_eq!(source.code_lines_without_tests(), 5);
        let functions = source.functions();
        assert_eq!((functions[0].name.as_str(), functions[0].first_line, functions[0].code_lines), ("one", 4, 5));
        assert_eq!(functions[1].name, "two");
    }

    #[test]
    fn a_string_of_several_lines_is_code() {
        let source = Source::parse("const SQL: &str = \"\n  // not a comment\n\n\";\n").unwrap();
        assert_eq!(source.code_lines_without_tests(), 4);
    }

    #[test]
    fn paths_are_found_in_groups_and_macros() {
        let text =
            "use crate::{a::{B, c::D}, e};\nfn f() { vec![super::g::h()]; }\n#[cfg(test)]\nmod t { use super::i; }";
        let paths: Vec<_> = Source::parse(text).unwrap().local_paths().iter().map(|path| path.join("::")).collect();
        assert_eq!(paths, ["crate::a::B", "crate::a::c::D", "crate::e", "super::g::h"]);
    }
}
