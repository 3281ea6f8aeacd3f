//! `join`: from now on the caller is listed to others, and gets peers.

use tracing::debug;

use super::{CallError, Caller, Signaling};
use crate::{
    domain::{Member, Nat, Reach, selection::Wish},
    protocol::{JoinRequest, PeerList},
    telemetry::EVENTS,
};

impl Signaling {
    /// Joins (again: the newest word on upload, network and the rest counts).
    pub async fn join(&self, caller: &Caller, request: JoinRequest) -> Result<PeerList, CallError> {
        self.admit(caller, &request.swarm)?;
        self.put_out_other_holders(caller).await.map_err(|_| CallError::GatewayAway)?;
        let now = self.clock.now();
        let net = request.net.unwrap_or_default();
        // What a peer says of itself can only take it off the list.
        let metered = net.save_data || net.kind.as_deref() == Some("cellular");
        let policy = self.policy(&caller.session, Some(&request.swarm));
        let willing = request.upload.unwrap_or(true) && policy.upload;
        let before = self.ranking.member(&request.swarm, caller.peer).filter(|before| before.nat == net.nat);
        let reach = before.map_or_else(Reach::default, |before| before.reach);
        let member = Member {
            upload: willing && !metered && net.nat != Nat::Blocked,
            nat: net.nat,
            reach,
            slots: request.slots,
            playhead: request.playhead,
            bitrate_kbps: request.bitrate_kbps,
            address: caller.session.address,
            place: self.geo.place(caller.session.address),
            ..Member::new(caller.peer, now)
        };
        let ground = self.ground(&request.swarm, &policy);
        let (nat, reach) = ground.network((net.nat, reach));
        let wish = Wish {
            nat,
            reach,
            playhead: request.playhead,
            ..self.wish(caller, &request.swarm, request.want.unwrap_or(policy.want), &request.exclude)
        };
        let found = self.ranking.join(&request.swarm, member, wish.sample(), ground.fits(&wish)).await?;
        let list = self.listed(caller, &request.swarm, found, &wish, &ground, false);
        debug!(
            target: EVENTS, peer = %caller.peer, swarm = %request.swarm, size = list.swarm_size, listed = list.peers.len(),
            "{} joined {}: {} there, {} listed to it", caller.peer.short(), request.swarm, list.swarm_size, list.peers.len()
        );
        Ok(list)
    }
}
