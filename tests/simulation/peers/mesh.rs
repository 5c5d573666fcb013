//! Owns one peer of the mesh: it asks, it says something, it never says that it goes.

use std::net::SocketAddr;

use mynah::protocol::udp_mesh::frame;

use super::text;
use crate::air::{Air, Way};
use crate::rng::Rng;

pub struct MeshPeer {
    pub name: String,
    pub address: SocketAddr,
    pub port: u8,
    pub way: Way,
    /// Its name is the one of somebody's account.
    pub impostor: bool,
    pub asks: usize,
    pub to_say: usize,
    pub said: Vec<String>,
    pub raw: Vec<Vec<u8>>,
}

impl MeshPeer {
    pub fn pump(&mut self, air: &mut Air) {
        self.raw.extend(air.receive(self.address));
    }

    pub fn act(&mut self, rng: &mut Rng, air: &mut Air) {
        let mut bytes = Vec::new();
        if self.asks > 0 {
            self.asks -= 1;
            frame::encode_join(&self.name, &mut bytes);
        } else if self.to_say > 0 && rng.once_in(4) {
            self.to_say -= 1;
            let text = text(&self.name, rng, 3000);
            frame::encode_say(&self.name, &text, |datagram| bytes.extend(datagram));
            self.said.push(text);
        } else {
            return;
        }
        air.send(self.address, self.port, &bytes);
    }
}
