//! The only program of Banyan's that has privileges; see [`agent_core::installer`].

fn main() -> std::process::ExitCode {
    agent_core::installer::process::main()
}
