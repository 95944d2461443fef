//! The binary `millstream`: where everything is assembled.
mod audit;
mod bundle;
mod check;
mod checkpoint;
mod child;
mod cli;
mod cluster;
mod control;
mod demo;
mod exit;
mod explain;
mod http;
mod letters;
mod lint;
mod load;
mod memory;
mod metrics;
mod packs;
mod parse_files;
mod progress;
mod registry;
mod replay;
mod rules;
mod run;
mod secrets;
mod shadow;
mod stats;
mod stop;
mod supervise;
mod tap;
mod test;
mod top;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};

fn main() {
    memory::set_up();
    let code = match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(e) => {
            let text = format!("{e:#}");
            eprintln!("error: {text}");
            let supervised = std::env::var_os(child::CHILD).is_some();
            if supervised && engine::fatal::is_full(&text) { engine::fatal::EXIT_FULL } else { exit::IO }
        }
    };
    std::process::exit(code)
}

fn dispatch(command: Command) -> anyhow::Result<i32> {
    match command {
        Command::Run(a) if a.no_supervisor || std::env::var_os(child::CHILD).is_some() => run::run(&a),
        Command::Run(a) => supervise::supervise(&a),
        Command::Check(a) => check::check(&a),
        Command::Graph(a) => check::graph(&a),
        Command::Plan(a) => check::plan(&a),
        Command::Apply(a) => check::apply(&a),
        Command::Unsuppress(a) => check::unsuppress(&a),
        Command::Test(a) => test::test(&a),
        Command::Rules(cli::RulesCommand::Cost(a)) => rules::cost(&a),
        Command::Rules(cli::RulesCommand::Explain(a)) => rules::explain(&a),
        Command::Rules(cli::RulesCommand::Shadow(a)) => shadow::shadow(&a),
        Command::Rules(cli::RulesCommand::Lint(a)) => lint::lint(&a),
        Command::Rules(cli::RulesCommand::Packs(a)) => packs::packs(&a),
        Command::Rules(cli::RulesCommand::Import(cli::ImportCommand::Sigma(a))) => rules::import_sigma(&a),
        Command::Rules(cli::RulesCommand::Import(cli::ImportCommand::Python(a))) => rules::import_python(&a),
        Command::Top(a) => top::top(&a),
        Command::Tap(a) => tap::tap(&a),
        Command::Audit(a) => audit::audit(&a),
        Command::Replay(a) => replay::replay(&a),
        Command::Explain(a) => explain::explain(&a),
        Command::Dlq(a) => letters::dlq(&a),
        Command::Txn(a) => letters::txn(&a),
        Command::Checkpoint(a) => checkpoint::checkpoint(&a),
        Command::Parse(a) => parse_files::parse(&a),
        Command::Demo(a) => demo::demo(&a),
        Command::Schema => {
            println!("{}", serde_json::to_string_pretty(&topology::json_schema(&registry::parts()))?);
            Ok(0)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "millstream", &mut std::io::stdout());
            Ok(0)
        }
    }
}
