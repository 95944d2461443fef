//! What a detection is compiled to: statements and expressions over numbered slots.
//!
//! Names are resolved when a module is lowered: a local is a slot of the frame, a name of the module is a slot of its
//! globals, a built-in is a constant. Every construct that is not built becomes [`Expr::Unknown`], which names itself.

use std::rc::Rc;

use crate::name::Name;
use crate::ops::{Bin, Cmp};
use crate::value::Value;

/// A construct that is not built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What it is, in words.
    pub what: Rc<str>,
    /// File.
    pub file: Rc<str>,
    /// Line, from 1.
    pub line: u32,
}

/// An expression.
#[derive(Debug)]
pub enum Expr {
    /// A constant.
    Const(Value),
    /// A slot of the frame; a cell in it is looked through.
    Local(u32),
    /// A slot of the module.
    Global(u32),
    /// A name that is defined nowhere: `NameError`.
    NameError(Rc<str>),
    /// `a and b and …`: gives the value that decides.
    And(Vec<Expr>),
    /// `a or b or …`.
    Or(Vec<Expr>),
    /// `not a`.
    Not(Box<Expr>),
    /// `-a`, `+a`, `~a`.
    Unary(char, Box<Expr>),
    /// `b if a else c`.
    If(Box<(Expr, Expr, Expr)>),
    /// A binary operator.
    Binary(Bin, Box<(Expr, Expr)>),
    /// A chain of comparisons.
    Compare(Box<Expr>, Vec<(Cmp, Expr)>),
    /// `[…]`.
    List(Vec<Item>),
    /// `(…)`.
    Tuple(Vec<Item>),
    /// `{…}`.
    Set(Vec<Item>),
    /// `{k: v, **d}`; without a key it is spread.
    Dict(Vec<(Option<Expr>, Expr)>),
    /// An f-string.
    FString(Vec<Piece>),
    /// `a.name`.
    Attr(Box<Expr>, Name, Rc<str>),
    /// `a[b]`.
    Index(Box<(Expr, Expr)>),
    /// `a:b:c` in an index.
    Slice(Box<[Expr; 3]>),
    /// `f(…)`.
    Call(Box<Expr>, Args),
    /// `a.name(…)`.
    Method(Box<Expr>, Name, Rc<str>, Args),
    /// `super().name(…)`; the slot holds `self`.
    Super(u32, Rc<str>, Args),
    /// `(name := a)`.
    Walrus(Box<(Target, Expr)>),
    /// A comprehension, or a generator that is used up where it stands.
    Comp(Collect, Box<Comp>),
    /// A generator that lives on: its code, and what its first clause iterates.
    Gen(Rc<Code>, Box<Expr>),
    /// A lambda, or a function before it has a name.
    Func(Box<MakeFunc>),
    /// Not built.
    Unknown(Rc<Gap>),
}

/// An element of a display.
#[derive(Debug)]
pub enum Item {
    /// One value.
    One(Expr),
    /// `*a`.
    Spread(Expr),
}

/// A piece of an f-string.
#[derive(Debug)]
pub enum Piece {
    /// Text.
    Text(Rc<str>),
    /// A value with `!r` and a specification.
    Value(Expr, bool, Option<Expr>),
}

/// Arguments of a call.
#[derive(Debug, Default)]
pub struct Args {
    /// Positional ones, in order.
    pub pos: Vec<Item>,
    /// Named ones; without a name it is spread.
    pub kw: Vec<(Option<Rc<str>>, Expr)>,
}

/// What a comprehension gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collect {
    /// A list.
    List,
    /// A set.
    Set,
    /// A dict.
    Dict,
    /// `any(…)`.
    Any,
    /// `all(…)`.
    All,
}

/// The clauses and the element of a comprehension.
#[derive(Debug)]
pub struct Comp {
    /// `for … in … if …`, outer first.
    pub clauses: Vec<Clause>,
    /// The element, or the key.
    pub element: Expr,
    /// The value of a dict comprehension.
    pub value: Option<Expr>,
    /// Slots of its variables: empty at the start.
    pub slots: Vec<u32>,
    /// Those that inner functions share: a new cell at the start.
    pub cells: Vec<u32>,
    /// True if it stands for a generator that is used up where it stands.
    pub generator: bool,
}

/// A clause of a comprehension.
#[derive(Debug)]
pub struct Clause {
    /// What takes the element.
    pub target: Target,
    /// What is iterated.
    pub iter: Expr,
    /// Conditions.
    pub ifs: Vec<Expr>,
}

/// Where a value is put.
#[derive(Debug)]
pub enum Target {
    /// A slot of the frame.
    Local(u32),
    /// A slot of the module.
    Global(u32),
    /// `a.name`.
    Attr(Expr, Rc<str>),
    /// `a[b]`.
    Index(Expr, Expr),
    /// `a, b = …`; the position of a starred one.
    Unpack(Vec<Target>, Option<usize>),
    /// Not built.
    Unknown(Rc<Gap>),
}

/// A function that is about to be made.
#[derive(Debug)]
pub struct MakeFunc {
    /// Its code.
    pub code: Rc<Code>,
    /// Defaults of positional parameters.
    pub defaults: Vec<Expr>,
    /// Defaults of keyword-only ones.
    pub kw_defaults: Vec<(Rc<str>, Expr)>,
    /// Decorators that are not looked at by the class.
    pub decorated: Option<Rc<Gap>>,
}

/// Parameters of a function. They are the first slots, in this order.
#[derive(Debug, Default)]
pub struct Params {
    /// Positional ones.
    pub names: Vec<Rc<str>>,
    /// How many of them cannot be named in a call.
    pub positional_only: usize,
    /// Keyword-only ones.
    pub keyword_only: Vec<Rc<str>>,
    /// `*args` is there; its slot follows.
    pub rest: bool,
    /// `**kwargs` is there; its slot follows.
    pub kw_rest: bool,
}

/// Code of a function, a generator or a module.
#[derive(Debug)]
pub struct Code {
    /// Name.
    pub name: Rc<str>,
    /// Name with the functions and classes around it, which error messages have.
    pub qualified: Rc<str>,
    /// File of the source.
    pub file: Rc<str>,
    /// Line of its start.
    pub line: u32,
    /// Its statements and expressions inside one another.
    pub weight: u32,
    /// Parameters.
    pub params: Params,
    /// Names of the slots.
    pub slots: Vec<Rc<str>>,
    /// Slots that inner functions share.
    pub cells: Vec<u32>,
    /// Slots of variables of outer functions, and the slot there.
    pub frees: Vec<(u32, u32)>,
    /// Body of a function.
    pub body: Vec<Line>,
    /// Body of a generator.
    pub comp: Option<Comp>,
}

/// A statement with its line.
#[derive(Debug)]
pub struct Line {
    /// Line, from 1.
    pub line: u32,
    /// The statement.
    pub stmt: Stmt,
}

/// How a class attribute is made from a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// A plain method.
    Method,
    /// `@property`.
    Property,
    /// `@staticmethod`.
    Static,
}

/// A statement.
#[derive(Debug)]
pub enum Stmt {
    /// An expression for its effect.
    Expr(Expr),
    /// `a = b = value`.
    Assign(Vec<Target>, Expr),
    /// `a += value`.
    Augment(Target, Bin, Expr),
    /// `del a`.
    Delete(Target),
    /// `return`.
    Return(Expr),
    /// `if`, `elif`, `else`.
    If(Vec<(Expr, Vec<Line>)>, Vec<Line>),
    /// `for`.
    For(Box<(Target, Expr)>, Vec<Line>, Vec<Line>),
    /// `while`.
    While(Expr, Vec<Line>, Vec<Line>),
    /// `try`.
    Try(Box<Try>),
    /// `raise`, with a cause that is looked at for its effect only.
    Raise(Option<Expr>, Option<Expr>),
    /// `assert`.
    Assert(Expr, Option<Expr>),
    /// `break`.
    Break,
    /// `continue`.
    Continue,
    /// `pass`.
    Pass,
    /// `class`: name, base, attributes.
    Class(Target, Rc<str>, Option<Expr>, Vec<(Rc<str>, Attribute)>),
    /// `import a as b`, `from a import b`.
    Import(Target, Rc<str>, Option<Rc<str>>),
}

/// An attribute in the body of a class.
#[derive(Debug)]
pub enum Attribute {
    /// A value.
    Value(Expr),
    /// A function.
    Func(Wrap, MakeFunc),
}

/// `try`.
#[derive(Debug)]
pub struct Try {
    /// What is tried.
    pub body: Vec<Line>,
    /// Handlers: the classes (none: all), the name, the body.
    pub handlers: Vec<(Option<Expr>, Option<Target>, Vec<Line>)>,
    /// `else`.
    pub orelse: Vec<Line>,
    /// `finally`.
    pub finally: Vec<Line>,
}
