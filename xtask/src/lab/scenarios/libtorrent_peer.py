# One peer of the rival: libtorrent, with all timers and limits set for a network like the lab's.
# Arguments: address, folder, torrent, peers (a:p,a:p,…), file that starts the transfer, file to write when done,
# whether to upload (yes or no). `create FILE TORRENT` makes the torrent instead.
import os, sys, time
import libtorrent as lt

if sys.argv[1] == "create":
    path, torrent = sys.argv[2:4]
    files = lt.file_storage()
    lt.add_files(files, path)
    piece = 65536 if os.path.getsize(path) <= 32 << 20 else 262144
    made = lt.create_torrent(files, piece)
    lt.set_piece_hashes(made, os.path.dirname(path))
    with open(torrent, "wb") as out:
        out.write(lt.bencode(made.generate()))
    sys.exit(0)

address, folder, torrent, peers, go, done, uploads = sys.argv[1:8]
settings = lt.high_performance_seed()
settings.update({
    "listen_interfaces": address,
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_outgoing_utp": False, "enable_incoming_utp": False,
    "in_enc_policy": 2, "out_enc_policy": 2,
    "allow_multiple_connections_per_ip": True,
    "unchoke_slots_limit": -1 if uploads == "yes" else 0, "unchoke_interval": 2,
    "connection_speed": 500, "torrent_connect_boost": 255, "smooth_connects": False,
    "mixed_mode_algorithm": 0, "max_out_request_queue": 1500, "send_buffer_watermark": 3 << 20,
    "max_queued_disk_bytes": 64 << 20, "predictive_piece_announce": 50,
    "max_failcount": 100, "min_reconnect_time": 1, "peer_connect_timeout": 3,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
})
session = lt.session(settings)
if uploads != "yes":
    # Private addresses are exempt from choking otherwise.
    local = session.get_peer_class(lt.session.local_peer_class_id)
    local["ignore_unchoke_slots"] = False
    session.set_peer_class(lt.session.local_peer_class_id, local)
print("ready", flush=True)
while not os.path.exists(go):
    time.sleep(0.01)
parameters = lt.add_torrent_params()
parameters.ti = lt.torrent_info(torrent)
parameters.save_path = folder
parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
if done == "-":
    parameters.flags |= lt.torrent_flags.seed_mode
handle = session.add_torrent(parameters)
endpoints = [(peer.split(":")[0], int(peer.split(":")[1])) for peer in peers.split(",")]
for endpoint in endpoints:
    handle.connect_peer(endpoint)
while True:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        if isinstance(alert, lt.torrent_finished_alert) and done != "-":
            open(done, "w").close()
        elif isinstance(alert, lt.torrent_error_alert):
            print(alert.message(), flush=True)
