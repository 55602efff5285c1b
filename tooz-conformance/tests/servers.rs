//! Every deployment with real servers: they start, survive each fault and serve again.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tooz_conformance::servers::{Deployment, DeploymentSpec, etcd, postgres, redis, zookeeper};
use tooz_conformance::{Context, Failure, Harness, Needs, ensure};
use tooz_core::memory;

fn main() -> ExitCode {
    let mut harness = Harness::in_process("servers", memory::DRIVER, |word| format!("memory://{word}")).only_own();
    let specs = [
        ("redis", redis::single()),
        ("redis_sentinel", redis::sentinel()),
        ("redis_cluster", redis::cluster()),
        ("etcd", etcd::single()),
        ("etcd_three", etcd::three()),
        ("zookeeper", zookeeper::single()),
        ("zookeeper_ensemble", zookeeper::ensemble()),
        ("postgres", postgres::single()),
        ("postgres_standby", postgres::with_standby()),
    ];
    for (name, spec) in specs {
        let trial = move |_: Context| survives_faults(spec.clone());
        let limit = Needs::NOTHING.within(Duration::from_secs(120));
        harness = harness.trial(&format!("{name}::survives_faults"), limit, trial);
    }
    tooz_conformance::main(harness)
}

async fn survives_faults(spec: DeploymentSpec) -> Result<(), Failure> {
    let start = Instant::now();
    let deployment = Deployment::start(&spec).await?;
    eprintln!("{}, provided by {}, serves after {:?}", deployment.version(), deployment.provision(), start.elapsed());
    let outcome = faults(&deployment).await;
    deployment.remove().await?;
    outcome
}

async fn faults(deployment: &Deployment) -> Result<(), Failure> {
    let node = &deployment.nodes()[0];
    let start = Instant::now();
    node.pause().await?;
    node.resume().await?;
    node.ready().await?;
    eprintln!("paused and resumed in {:?}", start.elapsed());
    let start = Instant::now();
    node.kill().await?;
    ensure!(connect(&node.address()).await.is_err(), "{} answers after kill", node.name());
    node.start().await?;
    eprintln!("killed and started in {:?}", start.elapsed());
    let start = Instant::now();
    node.stop_gracefully().await?;
    ensure!(connect(&node.address()).await.is_err(), "{} answers after stop", node.name());
    node.start().await?;
    eprintln!("stopped and started in {:?}", start.elapsed());
    node.pause().await?;
    node.restart().await?;
    loses_data(deployment).await
}

async fn loses_data(deployment: &Deployment) -> Result<(), Failure> {
    let start = Instant::now();
    deployment.save().await?;
    eprintln!("saved in {:?}", start.elapsed());
    let start = Instant::now();
    deployment.empty().await?;
    eprintln!("emptied in {:?}", start.elapsed());
    let start = Instant::now();
    deployment.restore().await?;
    eprintln!("restored in {:?}", start.elapsed());
    Ok(())
}

async fn connect(address: &str) -> std::io::Result<tokio::net::TcpStream> {
    tokio::net::TcpStream::connect(address).await
}
