//! Remembers which decisions were passed on last, so that only changes are.

use banyan_proto::{OrderId, Reason, schedule::Background};
use std::collections::{BTreeMap, BTreeSet};

/// Whether something may happen now, and if not, why.
pub(crate) type GateState = Result<(), Reason>;

/// Converts the reason of a closed gate.
pub(super) fn to_gate(closed: Option<Reason>) -> GateState {
    closed.map_or(Ok(()), Err)
}

/// The gates of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrderGates {
    pub(crate) receive: GateState,
    pub(crate) install: GateState,
}

/// The gates of one order that must be passed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OrderGateChanges {
    pub(crate) receive: Option<GateState>,
    pub(crate) install: Option<GateState>,
}

/// Speed limits (bytes a second); `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpeedLimits {
    pub(crate) download: Option<u64>,
    pub(crate) upload: Option<u64>,
}

/// The decisions passed on last. A gate that was never passed on counts as open.
#[derive(Debug, Default)]
pub(crate) struct SentDecisions {
    orders: BTreeMap<OrderId, OrderGates>,
    forward: Option<GateState>,
    limits: Option<SpeedLimits>,
    /// Orders received without yielding bandwidth.
    urgent: BTreeSet<OrderId>,
    /// Orders that are not received in the background.
    foreground: BTreeSet<OrderId>,
    background: Option<Background>,
}

impl SentDecisions {
    /// Takes the new gates of an order. Returns those that have changed.
    pub(crate) fn update_order(&mut self, order: OrderId, gates: OrderGates) -> OrderGateChanges {
        let before = self.orders.insert(order, gates).unwrap_or(OrderGates { receive: Ok(()), install: Ok(()) });
        OrderGateChanges {
            receive: (before.receive != gates.receive).then_some(gates.receive),
            install: (before.install != gates.install).then_some(gates.install),
        }
    }
    /// Sets whether an order is received without yielding bandwidth.
    pub(crate) fn set_urgent(&mut self, order: OrderId, is_urgent: bool) {
        if is_urgent {
            self.urgent.insert(order);
        } else {
            self.urgent.remove(&order);
        }
    }
    /// Returns whether any order is received without yielding bandwidth.
    pub(crate) fn has_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }
    /// Sets whether an order is received in the background. Returns whether that has changed.
    pub(crate) fn set_background(&mut self, order: OrderId, is_background: bool) -> bool {
        if is_background { self.foreground.remove(&order) } else { self.foreground.insert(order) }
    }
    /// Returns whether an order is received in the background.
    pub(crate) fn is_background(&self, order: OrderId) -> bool {
        !self.foreground.contains(&order)
    }
    /// Takes how background transfers are sent. Returns whether that has changed.
    pub(crate) fn update_background(&mut self, background: Background) -> bool {
        self.background.replace(background) != Some(background)
    }
    /// Forgets an order.
    pub(crate) fn forget(&mut self, order: OrderId) {
        self.orders.remove(&order);
        self.urgent.remove(&order);
        self.foreground.remove(&order);
    }
    /// Forgets all orders but these.
    pub(crate) fn retain(&mut self, is_active: impl Fn(&OrderId) -> bool) {
        self.orders.retain(|order, _| is_active(order));
        self.urgent.retain(&is_active);
        self.foreground.retain(is_active);
    }
    /// Takes the new gate of forwarding. Returns it if it has changed.
    pub(crate) fn update_forward(&mut self, forward: GateState) -> Option<GateState> {
        let before = self.forward.replace(forward).unwrap_or(Ok(()));
        (before != forward).then_some(forward)
    }
    /// Takes the new speed limits. Returns them if they have changed.
    pub(crate) fn update_limits(&mut self, limits: SpeedLimits) -> Option<SpeedLimits> {
        (self.limits.replace(limits) != Some(limits)).then_some(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_passed_on() {
        let (order, closed) = (OrderId([1; 16]), Err(Reason::NotNow));
        let mut sent = SentDecisions::default();
        let open = OrderGates { receive: Ok(()), install: Ok(()) };
        assert_eq!(sent.update_order(order, open), OrderGateChanges::default(), "a new order is open");
        let changed = sent.update_order(order, OrderGates { receive: closed, ..open });
        assert_eq!(changed, OrderGateChanges { receive: Some(closed), install: None });
        assert_eq!(sent.update_order(order, OrderGates { receive: closed, ..open }), OrderGateChanges::default());
        assert_eq!(sent.update_order(order, open).receive, Some(Ok(())));
        assert_eq!([sent.update_forward(Ok(())), sent.update_forward(closed)], [None, Some(closed)]);
        let unlimited = SpeedLimits { download: None, upload: None };
        assert_eq!([sent.update_limits(unlimited), sent.update_limits(unlimited)], [Some(unlimited), None]);
        assert!(sent.is_background(order), "a new order is received in the background");
        assert_eq!(
            [false, false, true].map(|is_background| sent.set_background(order, is_background)),
            [true, false, true]
        );
        assert_eq!([Background::default(); 2].map(|background| sent.update_background(background)), [true, false]);
    }
}
