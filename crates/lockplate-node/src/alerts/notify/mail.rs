//! Notices by mail: to whoever is on duty, to whoever is to know that nobody looks, and to the agency whose entry is out of date.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use lettre::Address;

use super::{NoNotices, Notice, PAUSES, Receiver, Why};
use crate::mail::{MailSettings, Mailer, NotSent};

/// Whom mail goes to.
#[derive(Clone, Debug)]
pub(in crate::alerts) struct MailNotices {
    pub(in crate::alerts) to: Vec<Address>,
    pub(in crate::alerts) escalate_to: Vec<Address>,
    /// By ORI.
    pub(in crate::alerts) agencies: BTreeMap<String, Address>,
    pub(in crate::alerts) smtp: MailSettings,
}

/// One address: a mailbox that is full keeps nobody else waiting.
pub(in crate::alerts) struct MailReceiver {
    mailer: Mailer,
    notices: MailNotices,
}

impl MailReceiver {
    /// One for each address. Reads the password; connects to nobody yet.
    pub(in crate::alerts) fn each(notices: &MailNotices) -> Result<Vec<Self>, NoNotices> {
        let MailNotices { to, escalate_to, agencies, smtp } = notices;
        let mut all: Vec<&Address> = Vec::new();
        for address in to.iter().chain(escalate_to).chain(agencies.values()) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        let only = |one: &Address| {
            let of = |list: &[Address]| list.iter().filter(|address| *address == one).cloned().collect();
            let agencies = agencies.iter().filter(|(_, address)| *address == one);
            MailNotices {
                to: of(to),
                escalate_to: of(escalate_to),
                agencies: agencies.map(|(ori, address)| (ori.clone(), address.clone())).collect(),
                smtp: smtp.clone(),
            }
        };
        all.into_iter().map(|one| Ok(Self { mailer: Mailer::new(smtp)?, notices: only(one) })).collect()
    }

    fn addresses(&self, why: &Why) -> Vec<Address> {
        match why {
            Why::Raised => self.notices.to.clone(),
            Why::Escalated | Why::Overdue => self.notices.escalate_to.clone(),
            Why::Stale(agency) => self.notices.agencies.get(agency).cloned().into_iter().collect(),
        }
    }
}

impl Receiver for MailReceiver {
    fn wants(&self, why: &Why) -> bool {
        !self.addresses(why).is_empty()
    }

    fn tell<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let (subject, first) = match notice.why {
                Why::Raised => ("Alert", "An alert was raised. It is no probable cause: look at it first."),
                Why::Escalated => ("Nobody has looked at an alert", "Nobody has looked at this alert yet."),
                Why::Overdue => ("An alert is not closed", "Nobody has said in time how this alert ended."),
                Why::Stale(_) => (
                    "Entry out of date",
                    "An entry of yours was found to be out of date. Ask for it under this address.",
                ),
            };
            let class = notice.class.name();
            let subject = format!("{subject}: {class}, {}", notice.place);
            let body = format!("{first}\r\n{class}\r\n{}\r\n{}\r\n", notice.place, notice.link);
            let (mut told, mut waiting, mut pauses) = (true, self.addresses(&notice.why), PAUSES.into_iter());
            loop {
                let mut again = Vec::new();
                for address in waiting {
                    match self.mailer.send(address.clone(), subject.clone(), body.clone()).await {
                        Ok(()) => {}
                        Err(NotSent::Yet) => again.push(address),
                        Err(NotSent::Ever) => told = false,
                    }
                }
                if again.is_empty() {
                    return told;
                }
                let Some(pause) = pauses.next() else { return false };
                tokio::time::sleep(pause).await;
                waiting = again;
            }
        })
    }
}
