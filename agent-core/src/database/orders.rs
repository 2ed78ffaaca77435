//! The orders of this machine and their progress.

use super::{Database, DatabaseError, ORDERS, decode, encode};
use banyan_proto::{
    AddressHint, AddresseeList, MachineId, Order, OrderId, Proof, Receipt, RollingCode, Signed, api::ByteSource,
    peer::ReleaseProof,
};
use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One order and its progress on this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrderRecord {
    /// The order as signed.
    pub order: Signed<Order>,
    /// The proof of its release.
    pub release: ReleaseProof,
    /// The accepted offers, by stripe.
    pub offers: BTreeMap<u8, StripeOffer>,
    /// The server's receipt.
    pub receipt: Option<Signed<Receipt>>,
    /// The result; set when the order has ended on this machine.
    pub ended: Option<Result<(), banyan_proto::Reason>>,
    /// The machines that the bytes came from.
    pub sources: Vec<ByteSource>,
}

/// An accepted offer of one stripe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StripeOffer {
    /// The sublist: this machine first, then every machine it is responsible for.
    pub sublist: AddresseeList,
    /// The proof that leads from the list's root to the sublist.
    pub proof: Proof,
    /// The machines that the offer passed through, from the server to the sender.
    pub path: Vec<MachineId>,
    /// This machine's authentication code.
    pub code: RollingCode,
    /// Where the ancestors and the heads of the parts are, for the time after a restart.
    #[serde(default)]
    pub hints: Vec<Signed<AddressHint>>,
}

impl Database {
    /// Returns all orders.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub fn load_orders(&self) -> Result<Vec<OrderRecord>, DatabaseError> {
        let table = self.begin_read()?.open_table(ORDERS)?;
        table.iter()?.map(|row| decode("an order", row?.1.value())).collect()
    }
    /// Returns one order; `None` when it is unknown.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn load_order(&self, id: OrderId) -> Result<Option<OrderRecord>, DatabaseError> {
        let table = self.begin_read()?.open_table(ORDERS)?;
        table.get(&id.0)?.map(|bytes| decode("an order", bytes.value())).transpose()
    }
    /// Stores an order, synced.
    ///
    /// # Errors
    /// When the database fails.
    pub fn store_order(&self, id: OrderId, record: &OrderRecord) -> Result<(), DatabaseError> {
        let bytes = encode(record)?;
        self.write(|transaction| {
            transaction.open_table(ORDERS)?.insert(&id.0, bytes.as_slice())?;
            Ok(())
        })
    }
    /// Changes an order in one transaction, synced. Does nothing when the order is unknown.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub fn update_order(&self, id: OrderId, change: impl FnOnce(&mut OrderRecord)) -> Result<(), DatabaseError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(ORDERS)?;
            let Some(mut record) =
                table.get(&id.0)?.map(|bytes| decode::<OrderRecord>("an order", bytes.value())).transpose()?
            else {
                return Ok(());
            };
            change(&mut record);
            table.insert(&id.0, encode(&record)?.as_slice())?;
            Ok(())
        })
    }
    /// Deletes an order.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delete_order(&self, id: OrderId) -> Result<(), DatabaseError> {
        self.write(|transaction| {
            transaction.open_table(ORDERS)?.remove(&id.0)?;
            Ok(())
        })
    }
}
