//! Jobs rendered for both views.

use super::*;
use crate::job::Output;

const ROOTS: [&str; 2] = ["/home/u/one", "/srv/two"];

fn roots() -> Roots {
    Roots::new(ROOTS).unwrap()
}

fn at(text: &str) -> RootPath {
    roots()
        .locate(Path::new("/home/u/one/build"), Path::new(text))
        .unwrap()
}

fn path(role: Role, text: &str) -> Piece {
    let (at, text) = (at(text), text.into());
    Piece::Path { at, role, text }
}

fn text(text: &str) -> Piece {
    Piece::Text(text.into())
}

fn job(args: Vec<Arg>) -> Job {
    Job::of_gcc(args, at(""))
}

fn render_in(view: ViewKind, job: &Job) -> Result<Rendered, RenderError> {
    let roots = roots();
    let layout = Layout {
        view,
        roots: &roots,
        mounts: &Mounts::in_sandbox(&roots),
        tool: Path::new("/opt/lmtx/bin/context"),
    };
    render(job, &Surroundings::default(), layout)
}

fn words(rendered: &Rendered) -> Vec<String> {
    let words = rendered.argv.iter().skip(1);
    words.map(|word| word.display().into_owned()).collect()
}

#[test]
fn each_piece_in_each_view() {
    use Role::{Depfile, Input, Output as Out, OutputDir, SearchDir};
    for (pieces, overlay, rewrite) in [
        (vec![text("-c")], "-c", "-c"),
        (vec![path(Input, "a.c")], "a.c", "a.c"),
        (vec![path(Input, "../a.c")], "../a.c", "../a.c"),
        (
            vec![path(Input, "/home/u/one/a.c")],
            "/home/u/one/a.c",
            "/cpods/root/0/a.c",
        ),
        // Out of the root and back: elsewhere in the mount.
        (
            vec![path(Input, "../../one/a.c")],
            "../../one/a.c",
            "/cpods/root/0/a.c",
        ),
        (
            vec![path(Input, "../../../../srv/two/x.h")],
            "../../../../srv/two/x.h",
            "/cpods/root/1/x.h",
        ),
        (
            vec![text("-I"), path(SearchDir, "/srv/two")],
            "-I/srv/two",
            "-I/cpods/root/1",
        ),
        (
            vec![path(Out, "obj/../a.o")],
            "obj/../a.o",
            "/cpods/out/0/build/a.o",
        ),
        (
            vec![text("-Wp,-MD,"), path(Depfile, "a.d")],
            "-Wp,-MD,a.d",
            "-Wp,-MD,/cpods/out/0/build/a.d",
        ),
        (
            vec![path(OutputDir, "/srv/two/d")],
            "/srv/two/d",
            "/cpods/out/1/d",
        ),
    ] {
        let job = job(vec![Arg::Word(pieces)]);
        let in_view = |view| words(&render_in(view, &job).unwrap()).remove(0);
        assert_eq!(in_view(ViewKind::Overlay), overlay);
        assert_eq!(in_view(ViewKind::Rewrite), rewrite);
    }
}

#[test]
fn a_tool_finds_what_lies_beside_it() {
    let rendered = render_in(ViewKind::Overlay, &job(vec![])).unwrap();
    let path = "PATH=/opt/lmtx/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert!(rendered.env.contains(&path.into()), "{:?}", rendered.env);
}

#[test]
fn directories_environment_and_roots() {
    let mut job = job(vec![Arg::Word(vec![path(Role::Input, "/srv/two/x.h")])]);
    let value = vec![text("."), text(":"), path(Role::SearchDir, "/home/u/one/i")];
    job.env = vec![("CPATH".into(), value), ("PATH".into(), vec![text("/bin")])];
    let overlay = render_in(ViewKind::Overlay, &job).unwrap();
    assert_eq!(overlay.cwd, "/home/u/one/build".into());
    assert_eq!(
        overlay.env,
        [
            "PWD=/home/u/one/build".into(),
            "CPATH=.:/home/u/one/i".into(),
            "PATH=/bin".into()
        ]
    );
    assert_eq!(overlay.roots, [0, 1]);
    assert!(overlay.map_back.is_empty());
    let rewrite = render_in(ViewKind::Rewrite, &job).unwrap();
    assert_eq!(rewrite.cwd, "/cpods/root/0/build".into());
    assert_eq!(
        rewrite.env[..2],
        [
            "PWD=/cpods/root/0/build".into(),
            "CPATH=.:/cpods/root/0/i".into()
        ]
    );
}

#[test]
fn response_files() {
    let content = vec![
        Arg::text("-DX=a b"),
        Arg::Word(vec![path(Role::Input, "/home/u/one/a.c")]),
    ];
    let inside = Arg::Response {
        word: vec![text("@"), path(Role::Input, "args.rsp")],
        content: content.clone(),
    };
    let outside = Arg::Response {
        word: vec![text("@/tmp/args.rsp")],
        content,
    };
    let job = job(vec![inside, outside]);
    let overlay = render_in(ViewKind::Overlay, &job).unwrap();
    assert_eq!(words(&overlay), ["@args.rsp", "-DX=a b", "/home/u/one/a.c"]);
    let rewrite = render_in(ViewKind::Rewrite, &job).unwrap();
    let each = ["-DX=a b", "/cpods/root/0/a.c"];
    assert_eq!(words(&rewrite), [each, each].concat());
}

#[test]
fn a_long_response_file_becomes_one_again() {
    let long = vec![Arg::text("a b\\\""); 40_000];
    let job = job(vec![Arg::Response {
        word: vec![text("@x")],
        content: long,
    }]);
    let rendered = render_in(ViewKind::Rewrite, &job).unwrap();
    assert_eq!(words(&rendered), [format!("@/tmp/{RESPONSE_FILE}")]);
    let (name, content) = &rendered.files[0];
    assert_eq!(name, &format!("/tmp/{RESPONSE_FILE}").as_str().into());
    assert_eq!(content.0, b"a\\ b\\\\\\\"\n".repeat(40_000));
}

#[test]
fn words_added_for_the_rewrite_view() {
    let mut job = job(vec![Arg::text("-c")]);
    let word = "-ffile-prefix-map={mount:0}={root:0},{mount:1}{x}{root:x}{";
    job.rewrite_args = vec![Arg::text(word)];
    let rewrite = render_in(ViewKind::Rewrite, &job).unwrap();
    let filled = "-ffile-prefix-map=/cpods/root/0=/home/u/one,/cpods/root/1{x}{root:x}{";
    assert_eq!(words(&rewrite), [filled, "-c"]);
    assert_eq!(words(&render_in(ViewKind::Overlay, &job).unwrap()), ["-c"]);
}

#[test]
fn maps_back_what_was_rewritten() {
    let mut job = job(vec![Arg::Word(vec![path(Role::Output, "obj/a.o")])]);
    job.outputs = vec![Output {
        at: at("obj/a.o"),
        role: Role::Output,
    }];
    let rewrite = render_in(ViewKind::Rewrite, &job).unwrap();
    assert_eq!(rewrite.out_dirs, [at("obj")]);
    let back = super::super::mapback::MapBack::new(rewrite.map_back);
    let mapped = |text: &str| String::from_utf8(back.whole(text.as_bytes())).unwrap();
    let rule = "/cpods/out/0/build/obj/a.o: a.c /cpods/root/1/x.h";
    assert_eq!(mapped(rule), "obj/a.o: a.c /srv/two/x.h");
    assert_eq!(mapped("/cpods/out/1/y"), "/srv/two/y");
}

#[test]
fn refuses_what_it_cannot_show() {
    let mut unnamed = job(vec![Arg::text("-c")]);
    unnamed.outputs = vec![Output {
        at: at("a.o"),
        role: Role::Output,
    }];
    assert_eq!(
        render_in(ViewKind::Rewrite, &unnamed),
        Err(RenderError::UnnamedOutput("build/a.o".into()))
    );
    assert!(render_in(ViewKind::Overlay, &unnamed).is_ok());
    let mut strange = job(vec![]);
    strange.cwd.root = RootId(7);
    for view in [ViewKind::Overlay, ViewKind::Rewrite] {
        assert_eq!(render_in(view, &strange), Err(RenderError::Root(7)));
    }
}
