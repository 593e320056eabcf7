#!/bin/bash
# A real Slurm of one machine: a controller and two nodes, which runs one job and ends.
#
#   unshare --mount --pid --net --uts --ipc --fork --kill-child --mount-proc \
#     tests/slurm_lab.sh FOLDER SECONDS SCRIPT WORDS…
#
# As root, and only so: it changes /etc/hosts, /run and /tmp, each in a namespace of its own.
# The job works in FOLDER/work; FOLDER/state says how it ended, FOLDER/left what it left behind.
set -euo pipefail
folder=$1 seconds=$2
shift 2

mount -t tmpfs none /run
mkdir -p /run/lab /run/munge
mkdir -p "$folder"/{work,home,spool,log}
mount --bind "$folder" /run/lab

# An empty /tmp, save that what runs may lie below it: the environment and the checkout.
checkout=$(cd "$(dirname "$0")/.." && pwd)
mkdir /run/kept && cd /run/kept
for place in "$SEGTUNE_VENV" "$checkout"; do
  mkdir -p ".$place" && mount --rbind "$place" ".$place"
done
mount -t tmpfs -o mode=1777 none /tmp
for place in "$SEGTUNE_VENV" "$checkout"; do
  mkdir -p "$place" && mount --rbind ".$place" "$place"
done

# Slurm looks for addresses that are not loopback's: a bridge that leads nowhere.
hostname lab
ip link set lo up
ip link add lab0 type bridge
ip addr add 10.77.0.1/24 dev lab0
ip link set lab0 up
printf '127.0.0.1 localhost\n10.77.0.1 lab\n' >/run/hosts
mount --bind /run/hosts /etc/hosts

mount -t tmpfs none /var/lib/munge
mount -t tmpfs none /var/log/munge
mkdir /run/key
head -c 1024 /dev/urandom >/run/key/munge
chown -R munge /run/munge /run/key /var/lib/munge /var/log/munge
chmod 700 /run/key && chmod 400 /run/key/munge
su -s /bin/sh munge -c "munged --key-file=/run/key/munge"

cat >/run/slurm.conf <<'CONF'
ClusterName=lab
SlurmctldHost=lab(10.77.0.1)
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd-%n.pid
SlurmdSpoolDir=/run/lab/spool/%n
StateSaveLocation=/run/lab/spool
SlurmctldLogFile=/run/lab/log/slurmctld
SlurmdLogFile=/run/lab/log/%n
NodeName=n1 NodeHostname=lab NodeAddr=10.77.0.1 Port=17001 CPUs=1
NodeName=n2 NodeHostname=lab NodeAddr=10.77.0.1 Port=17002 CPUs=1
PartitionName=all Nodes=ALL Default=YES State=UP
CONF
export SLURM_CONF=/run/slurm.conf HOME=/run/lab/home
slurmctld
mkdir -p /run/lab/spool/n1 /run/lab/spool/n2
slurmd -N n1
slurmd -N n2

until [[ $(sinfo -h -o '%t %D') == "idle 2" ]]; do sleep 0.2; done
cd /run/lab/work
sbatch --nodes=2 --cpus-per-task=1 --gpus-per-node=0 --time=10 "$@"
end=$((SECONDS + seconds))
while [[ -n $(squeue -h) ]] && ((SECONDS < end)); do sleep 0.5; done
scontrol show job 1 >/run/lab/state
{
  ls -d /tmp/ray-* || true
  ls -A /run/lab/home/.segtune
  pgrep -fl 'raylet|gcs_server|ray start' || true
} >/run/lab/left 2>/dev/null
