//! The request for a receipt, on a connection of its own: its proof is bound to the TLS session and needs that session's
//! exporter (rule A3).

use super::{
    ANSWER_TIMEOUT, ServerApi,
    call_error::{CallError, to_call_error},
};
use banyan_proto::{
    api::{ReceiptReply, ReceiptRequest},
    code::EXPORTER_LABEL,
    format, limits,
};
use banyan_wire::{lookup::connect, tls::SERVER_NAME};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::sync::Arc;

impl ServerApi {
    /// Requests the receipt. `request` receives the exporter of the session that the request is sent over.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn receipt(&self, request: impl FnOnce(&[u8; 32]) -> ReceiptRequest) -> Result<ReceiptReply, CallError> {
        let servers = &self.addresses;
        tokio::time::timeout(ANSWER_TIMEOUT, self.receipt_on_own_connection(request)).await.unwrap_or_else(|_| {
            Err(CallError::Away {
                server: servers.list(),
                detail: format!("no response within {} seconds", ANSWER_TIMEOUT.as_secs()),
            })
        })
    }

    async fn receipt_on_own_connection(
        &self,
        request: impl FnOnce(&[u8; 32]) -> ReceiptRequest,
    ) -> Result<ReceiptReply, CallError> {
        let servers = &self.addresses;
        let away = |error: &(dyn std::error::Error + 'static)| CallError::from_transport(servers, error);
        let sockets = servers.look_up().await.map_err(|error| away(&error))?;
        let stream = connect(&sockets).await.map_err(|error| away(&error))?;
        let name = ServerName::try_from(SERVER_NAME).map_err(|error| away(&error))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.session().tls));
        let stream = connector.connect(name, stream).await.map_err(|error| away(&error))?;
        let exporter =
            stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None).map_err(|error| away(&error))?;
        let body = format::write(&request(&exporter));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| away(&error))?;
        let driver = tokio::spawn(connection);
        let request = hyper::Request::post("/v1/receipt")
            .header("host", SERVER_NAME)
            .header("content-type", "application/json")
            .body(Full::new(bytes::Bytes::from(body)))
            .map_err(|error| away(&error))?;
        let response = sender.send_request(request).await.map_err(|error| away(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limits::CONTROL_BYTES)
            .collect()
            .await
            .map_err(|error| CallError::Away { server: servers.list(), detail: error.to_string() })?
            .to_bytes();
        drop(sender);
        driver.abort();
        if !status.is_success() {
            return Err(to_call_error(servers, status.as_u16(), &body));
        }
        serde_json::from_slice(&body).map_err(|error| away(&error))
    }
}
