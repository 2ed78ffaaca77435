//! The only program of Banyan's that has privileges; see [`banyan_install_helper`].

fn main() -> std::process::ExitCode {
    banyan_install_helper::process::main()
}
