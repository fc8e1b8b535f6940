//! The proxy as a program of its own, for engines that cannot re-execute themselves.

fn main() {
    agentic_proxy::proxy_hook();
    eprintln!("agentic-proxy: started by the engine, not by hand");
    std::process::exit(2);
}
