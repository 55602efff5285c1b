//! The broken driver: the memory driver with sessions that have a fault.

use std::sync::Arc;

use async_trait::async_trait;
use tooz_core::driver::{Driver, DriverInfo, Session, SessionOptions};
use tooz_core::{DriverEntry, Result, ServiceUrl, memory};

use super::Fault;
use super::fault::FaultKind;
use super::session::BrokenSession;

/// `broken://name?fault=…`. It is not registered, so that no user gets it by accident.
pub const DRIVER: DriverEntry = DriverEntry { name: "broken", schemes: &["broken"], open };

fn open(url: &ServiceUrl) -> Result<Arc<dyn Driver>> {
    let options = url.options();
    let fault = options.get::<Fault>("fault")?.map(|fault| fault.kind);
    options.finish()?;
    let name = url.hosts().first().map_or("broken", |host| &host.name);
    let inner = (memory::DRIVER.open)(&format!("memory://{name}").parse()?)?;
    Ok(Arc::new(Broken { inner, fault }))
}

#[derive(Debug)]
struct Broken {
    inner: Arc<dyn Driver>,
    fault: Option<FaultKind>,
}

#[async_trait]
impl Driver for Broken {
    fn info(&self) -> DriverInfo {
        let mut info = self.inner.info();
        info.name = DRIVER.name;
        info
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let mut options = options.clone();
        if self.fault == Some(FaultKind::MixesNamespaces) {
            options.namespace = "shared".to_owned();
        }
        let inner = self.inner.open(&options).await?;
        Ok(Box::new(BrokenSession::new(inner.into(), self.fault, options.timeout)))
    }
}
