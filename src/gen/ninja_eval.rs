//! What the statements of Ninja files mean together: scopes, rules, and the commands of edges.
//!
//! Each piece of a value remembers the places from which it can be changed: where its text stands,
//! and where the references through which it came stand. Reads no file itself.

use super::ninja_reader::{Build, Part, ReadError, Statement, Text, What, read};
use super::ninja_value::{Place, Span, Value, clean, flat, literal, quoted, through};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Files that do not make a build.
#[derive(Debug, Error)]
pub enum EvalError {
    /// No Ninja syntax.
    #[error("`{path}`: {source}", path = path.display())]
    Read {
        /// In which file.
        path: PathBuf,
        /// What.
        source: ReadError,
    },
    /// A file that cannot be had.
    #[error("cannot read `{path}`", path = path.display())]
    Load {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Files that include each other.
    #[error("`{0}` includes itself")]
    Circle(PathBuf),
    /// An edge of a rule that is not there.
    #[error("`{path}`: there is no rule `{rule}`", path = path.display())]
    Rule {
        /// In which file.
        path: PathBuf,
        /// Its name.
        rule: String,
    },
    /// A variable that holds itself.
    #[error("the variable `{0}` of a rule is made of itself")]
    Cycle(String),
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// As the including file names it, in the main file's directory.
    pub path: PathBuf,
    /// Its content.
    pub text: Vec<u8>,
    /// Its statements.
    pub statements: Vec<Statement>,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct RuleAt {
    /// Its name.
    pub name: String,
    /// Where the first line below it is.
    pub below: Place,
    bindings: BTreeMap<String, (usize, Text)>,
}

/// A build statement; `phony` ones are left out.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Which of the [`Manifest::rules`].
    pub rule: usize,
    /// Where the first line below it is.
    pub below: Place,
    /// What it builds; first those that are `$out`.
    pub outputs: Vec<Vec<u8>>,
    explicit_outputs: usize,
    inputs: Vec<Vec<u8>>,
    scope: usize,
    has_own_scope: bool,
}

#[derive(Debug, Default)]
struct Scope {
    parent: Option<usize>,
    variables: BTreeMap<String, Value>,
    rules: BTreeMap<String, usize>,
}

/// A build: the main file and all that it includes.
#[derive(Debug, Default)]
pub struct Manifest {
    /// The files, the main one first.
    pub files: Vec<Source>,
    /// The rules of all files.
    pub rules: Vec<RuleAt>,
    /// The edges of all files, in order.
    pub edges: Vec<Edge>,
    /// Names of the pools.
    pub pools: Vec<String>,
    /// Where statements name other files: the end of the path, and which of the files.
    pub includes: Vec<(Place, usize)>,
    /// How often a place went into a path.
    pub in_paths: BTreeMap<Place, u32>,
    scopes: Vec<Scope>,
}

/// Gets the content of a file.
pub type Load<'a> = dyn FnMut(&Path) -> std::io::Result<Vec<u8>> + 'a;

/// Reads a main file and what it includes.
///
/// # Errors
/// Where Ninja would fail, too.
pub fn load(path: &Path, load: &mut Load<'_>) -> Result<Manifest, EvalError> {
    let mut manifest = Manifest::default();
    manifest.scopes.push(Scope::default());
    manifest.file(path, 0, &mut Vec::new(), load)?;
    Ok(manifest)
}

impl Manifest {
    fn file(
        &mut self,
        path: &Path,
        scope: usize,
        open: &mut Vec<usize>,
        load: &mut Load<'_>,
    ) -> Result<usize, EvalError> {
        let known = self.files.iter().position(|file| file.path == path);
        let file = match known {
            Some(file) if open.contains(&file) => return Err(EvalError::Circle(path.into())),
            Some(file) => file,
            None => {
                let path = path.to_owned();
                let text = load(&path).map_err(|source| EvalError::Load {
                    path: path.clone(),
                    source,
                })?;
                let statements = read(&text).map_err(|source| EvalError::Read {
                    path: path.clone(),
                    source,
                })?;
                self.files.push(Source {
                    path,
                    text,
                    statements,
                });
                self.files.len() - 1
            }
        };
        open.push(file);
        let statements = self.files[file].statements.clone();
        for statement in statements {
            self.statement(statement, file, scope, open, load)?;
        }
        open.pop();
        Ok(file)
    }

    fn statement(
        &mut self,
        statement: Statement,
        file: usize,
        scope: usize,
        open: &mut Vec<usize>,
        load: &mut Load<'_>,
    ) -> Result<(), EvalError> {
        let at = statement.below;
        let below = Place { file, at };
        match &statement.what {
            What::Variable(text) => {
                let value = self.in_scope(text, file, scope);
                self.scopes[scope].variables.insert(statement.name, value);
            }
            What::Rule => {
                let bindings = statement.bindings.into_iter();
                let bindings = bindings.map(|it| (it.key, (file, it.value))).collect();
                self.scopes[scope]
                    .rules
                    .insert(statement.name.clone(), self.rules.len());
                self.rules.push(RuleAt {
                    name: statement.name,
                    below,
                    bindings,
                });
            }
            What::Pool => self.pools.push(statement.name),
            What::Build(build) => self.edge(build, &statement, below, scope)?,
            What::Default(_) => {}
            What::Include(path) | What::Subninja(path) => {
                let at = path.end;
                let value = self.path(path, file, scope);
                let inner = match statement.what {
                    What::Include(_) => scope,
                    _ => self.scope(scope),
                };
                let path = Path::new(OsStr::from_bytes(&value)).to_owned();
                let found = self.file(&path, inner, open, load)?;
                self.includes.push((Place { file, at }, found));
            }
        }
        Ok(())
    }

    fn scope(&mut self, parent: usize) -> usize {
        self.scopes.push(Scope {
            parent: Some(parent),
            ..Scope::default()
        });
        self.scopes.len() - 1
    }

    fn edge(
        &mut self,
        build: &Build,
        statement: &Statement,
        below: Place,
        scope: usize,
    ) -> Result<(), EvalError> {
        let file = below.file;
        // Values are taken in the file's scope, paths in the edge's.
        let mut own = scope;
        if !statement.bindings.is_empty() {
            own = self.scope(scope);
            for binding in &statement.bindings {
                let value = self.in_scope(&binding.value, file, scope);
                self.scopes[own]
                    .variables
                    .insert(binding.key.clone(), value);
            }
        }
        let mut all = |texts: &[Text]| -> Vec<Vec<u8>> {
            let clean = |text| clean(&self.path(text, file, own));
            texts.iter().map(clean).collect()
        };
        let mut outputs = all(&build.outputs);
        let explicit_outputs = outputs.len();
        outputs.extend(all(&build.implicit_outputs));
        let inputs = all(&build.inputs);
        all(&build.implicit);
        all(&build.order_only);
        all(&build.validations);
        if build.rule == "phony" {
            return Ok(());
        }
        let mut from = Some(scope);
        let rule = loop {
            let Some(scope) = from.map(|scope| &self.scopes[scope]) else {
                let path = self.files[file].path.clone();
                let rule = build.rule.clone();
                return Err(EvalError::Rule { path, rule });
            };
            if let Some(rule) = scope.rules.get(&build.rule) {
                break *rule;
            }
            from = scope.parent;
        };
        self.edges.push(Edge {
            rule,
            below,
            outputs,
            explicit_outputs,
            inputs,
            scope: own,
            has_own_scope: own != scope,
        });
        Ok(())
    }

    fn path(&mut self, text: &Text, file: usize, scope: usize) -> Vec<u8> {
        let value = self.in_scope(text, file, scope);
        for place in value.iter().flat_map(|span| &span.places) {
            *self.in_paths.entry(*place).or_default() += 1;
        }
        flat(&value)
    }

    fn in_scope(&self, text: &Text, file: usize, scope: usize) -> Value {
        let mut value = Value::new();
        for part in &text.parts {
            match part {
                Part::Literal { at, bytes } => value.push(literal(bytes, file, *at)),
                Part::Variable { at, name } => {
                    let held = self.variable(name, Some(scope));
                    value.extend(through(held, Place { file, at: *at }));
                }
            }
        }
        value
    }

    fn variable(&self, name: &str, mut scope: Option<usize>) -> Value {
        while let Some(here) = scope.map(|scope| &self.scopes[scope]) {
            if let Some(value) = here.variables.get(name) {
                return value.clone();
            }
            scope = here.parent;
        }
        Value::new()
    }

    /// Where the command of the edge's rule ends.
    pub fn command_end(&self, edge: &Edge) -> Option<Place> {
        let (file, text) = self.rules[edge.rule].bindings.get("command")?;
        let (file, at) = (*file, text.end);
        Some(Place { file, at })
    }

    /// Whether the edge writes the main file.
    pub fn writes_main(&self, edge: &Edge) -> bool {
        let main = clean(self.files[0].path.as_os_str().as_bytes());
        edge.outputs.contains(&main)
    }

    /// Whether a line may be put below the build statement without changing others: one that has
    /// none takes values of its file before those of its rule.
    pub fn may_add_to(&self, edge: &Edge) -> bool {
        let file = &self.scopes[edge.scope].variables;
        let mut names = self.rules[edge.rule].bindings.keys();
        edge.has_own_scope || names.all(|name| !file.contains_key(name))
    }

    /// What a variable holds for an edge (`BindingEnv::LookupWithFallback` in Ninja).
    ///
    /// # Errors
    /// If the rule's variables go in circles.
    pub fn of_edge(&self, edge: &Edge, name: &str) -> Result<Value, EvalError> {
        self.of_edge_below(edge, name, &mut Vec::new())
    }

    fn of_edge_below<'a>(
        &'a self,
        edge: &Edge,
        name: &'a str,
        open: &mut Vec<&'a str>,
    ) -> Result<Value, EvalError> {
        let listed = match name {
            "in" => Some((&edge.inputs[..], b" ")),
            "in_newline" => Some((&edge.inputs[..], b"\n")),
            "out" => Some((&edge.outputs[..edge.explicit_outputs], b" ")),
            _ => None,
        };
        if let Some((paths, between)) = listed {
            let quoted: Vec<_> = paths.iter().map(|path| quoted(path)).collect();
            let text = quoted.join(&between[..]);
            let places = Vec::new();
            return Ok(vec![Span { text, places }]);
        }
        let scope = &self.scopes[edge.scope];
        if let Some(value) = scope.variables.get(name) {
            return Ok(value.clone());
        }
        let Some((file, text)) = self.rules[edge.rule].bindings.get(name) else {
            return Ok(self.variable(name, scope.parent));
        };
        if open.contains(&name) {
            return Err(EvalError::Cycle(name.to_owned()));
        }
        open.push(name);
        let file = *file;
        let mut value = Value::new();
        for part in &text.parts {
            match part {
                Part::Literal { at, bytes } => value.push(literal(bytes, file, *at)),
                Part::Variable { at, name } => {
                    let held = self.of_edge_below(edge, name, open)?;
                    value.extend(through(held, Place { file, at: *at }));
                }
            }
        }
        open.pop();
        Ok(value)
    }
}

#[cfg(test)]
#[path = "ninja_eval_tests.rs"]
mod tests;
