//! The project's verbs: `demo test ci bench soak codegen tidy`.

fn main() -> anyhow::Result<()> {
    anyhow::bail!("no verb yet")
}
