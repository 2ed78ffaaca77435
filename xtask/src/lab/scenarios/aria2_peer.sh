#!/bin/sh
# One peer of the rival aria2, with limits and timers set for a network like the lab's. Peers find each other by
# multicast, and then tell each other of all. Arguments: address, port, folder, torrent, file that starts the transfer,
# file to write when done (- for the one that has the file), whether to upload (yes or no).
set -eu
address=$1 port=$2 folder=$3 torrent=$4 go=$5 done=$6 uploads=$7
if [ "$done" = - ]; then
    set -- --bt-seed-unverified=true
else
    printf '#!/bin/sh\n: > "%s"\n' "$done" > "$folder.done.sh"
    chmod +x "$folder.done.sh"
    set -- --on-bt-download-complete="$folder.done.sh"
fi
# aria2 takes 0 for no limit, so 1 byte a second is the least.
[ "$uploads" = yes ] || set -- "$@" --max-overall-upload-limit=1
echo ready
while [ ! -e "$go" ]; do sleep 0.02; done
exec aria2c "$@" --no-conf=true --quiet=true --interface="$address" --listen-port="$port" --dir="$folder" \
    --enable-dht=false --enable-dht6=false --bt-enable-lpd=true --bt-lpd-interface="$address" \
    --enable-peer-exchange=true --bt-max-peers=0 --bt-request-peer-speed-limit=1G --max-overall-download-limit=0 \
    --seed-ratio=0.0 --file-allocation=none --disk-cache=64M --allow-overwrite=true "$torrent"
