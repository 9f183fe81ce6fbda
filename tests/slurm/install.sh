#!/usr/bin/env bash
# Install SLURM's daemons for the tests, where they are missing, apt-get is there, and we are root.
# The tests start them, on loopback, for as long as they run.
set -euo pipefail
if command -v slurmctld >/dev/null || ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
packages=(slurmctld slurmd slurm-client munge)
apt-get -qq update
apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
# The node finds itself by its name.
host=$(hostname -s)
getent hosts "$host" >/dev/null || echo "127.0.0.1 $host" >>/etc/hosts
