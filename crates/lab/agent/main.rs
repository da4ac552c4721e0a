//! `fence_lab`: the fence agent of the lab's power devices.

fn main() -> std::process::ExitCode {
    lab::bmc::agent()
}
