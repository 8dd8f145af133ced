//! One camera as a server: HTTP with Digest, to the one address of the configuration. It must never follow a redirect, use a proxy
//! of the environment, send the password itself over plain HTTP, or read an unbounded answer; what a camera says that is no
//! answer is told in fixed words.

use std::time::Duration;

use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use lockplate_intake::limits::BODY_BYTES_MAX;
use rand_core::Rng as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, Response, Url};
use zeroize::Zeroizing;

use super::{PullSettings, Question, Trust};
use crate::intake::digest::Challenge;
use crate::rng::SystemRng;
use crate::settings::{read_password, read_public_file};
use crate::tls;

/// Until a connection stands, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Longest silence of a camera: while it answers, and in a stream, which has a sign of life every five seconds.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// From a question to the last byte of its answer, streams apart.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Why an answer was not read to its end: less of it can be asked for.
pub(super) const TOO_LARGE: &str = "the answer is larger than 8 MiB";

/// A camera and what it wants to be shown.
pub(super) struct Camera {
    client: Client,
    base: Url,
    user: String,
    password: Zeroizing<String>,
    challenge: Option<Challenge>,
}

impl Camera {
    /// Reads the files; connects to nobody yet. The error is said in fixed words.
    pub(super) async fn new(settings: &PullSettings) -> Result<Self, &'static str> {
        let (trust, file) = (settings.trust.clone(), settings.password_file.clone());
        let read = tokio::task::spawn_blocking(move || -> Result<_, &'static str> {
            let config = match trust {
                // reqwest sets TLS up even where none is used; a pin no key has keeps https shut.
                Trust::Plain => tls::client_config_of_device([0; 32]),
                Trust::Pin(pin) => tls::client_config_of_device(pin),
                Trust::Authority(path) => {
                    let pem = read_public_file(&path).map_err(|_file| "the authority's file cannot be read")?;
                    tls::client_config_of_authority(&pem)
                }
            };
            let password = read_password(&file).map_err(|_file| "the password file cannot be read")?;
            Ok((config.map_err(|_library| "TLS could not be set up")?, password))
        });
        let (config, password) = read.await.map_err(|_task| "the files could not be read")??;
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout(CONNECT_MAX)
            .read_timeout(SILENCE_MAX)
            .https_only(settings.base.scheme() == "https")
            .tls_backend_preconfigured(config)
            .build()
            .map_err(|_library| "TLS could not be set up")?;
        let (base, user) = (settings.base.clone(), settings.user.clone());
        Ok(Self { client, base, user, password, challenge: None })
    }

    /// Content type and body of an answer that ends.
    pub(super) async fn answer(&mut self, question: &Question) -> Result<(String, Bytes), &'static str> {
        let whole = async {
            let mut response = self.send(question).await?;
            let mut body = BytesMut::new();
            while let Some(chunk) = response.chunk().await.map_err(|_broken| "the answer broke off")? {
                if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
                    return Err(TOO_LARGE);
                }
                body.extend_from_slice(&chunk);
            }
            Ok((content_type(&response), body.freeze()))
        };
        tokio::time::timeout(ANSWER_MAX, whole).await.unwrap_or(Err("the camera does not answer in time"))
    }

    /// An answer that does not end, with its content type.
    pub(super) async fn stream(&mut self, question: &Question) -> Result<(String, Response), &'static str> {
        let response = tokio::time::timeout(ANSWER_MAX, self.send(question)).await;
        let response = response.unwrap_or(Err("the camera does not answer in time"))?;
        Ok((content_type(&response), response))
    }

    /// Shows what the camera wanted the last time, and once more what it wants now.
    async fn send(&mut self, question: &Question) -> Result<Response, &'static str> {
        let refused = "the camera refuses the name or the password";
        for first in [true, false] {
            let response = self.once(question).await?;
            match response.status() {
                StatusCode::UNAUTHORIZED if first => {
                    let headers = response.headers().get_all(WWW_AUTHENTICATE).iter();
                    let challenge = Challenge::best(headers.filter_map(|value| value.to_str().ok()));
                    self.challenge = Some(challenge.ok_or("the camera does not ask for Digest with MD5 or SHA-256")?);
                }
                StatusCode::OK => return Ok(response),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(refused),
                _ => return Err("the camera does not know the question, or cannot answer it"),
            }
        }
        Err(refused)
    }

    async fn once(&mut self, question: &Question) -> Result<Response, &'static str> {
        let unsendable = "the question cannot be sent";
        let url = self.base.join(&question.path_and_query).map_err(|_url| unsendable)?;
        // As it goes over the line, after the library has written it its own way.
        let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let mut request = self.client.request(question.method.clone(), url);
        if let Some(challenge) = &mut self.challenge {
            let mut cnonce = [0; 16];
            SystemRng.fill_bytes(&mut cnonce);
            let cnonce = hex::encode(cnonce);
            let shown = challenge.answer(&self.user, &self.password, question.method.as_str(), &target, &cnonce);
            let shown = shown.ok_or("the camera asks in a way that cannot be answered")?;
            let mut header = HeaderValue::from_str(&shown).map_err(|_text| unsendable)?;
            header.set_sensitive(true);
            request = request.header(AUTHORIZATION, header);
        }
        if let Some(body) = &question.body {
            request = request.header(CONTENT_TYPE, "application/xml").body(body.clone());
        }
        request.send().await.map_err(|_library| "the camera cannot be reached")
    }
}

fn content_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.filter(|text| text.len() <= 512).unwrap_or_default().to_owned()
}
