# shellcheck shell=bash
# The node's address, the guard against other machines, and the removal of
# everything that the cluster put into the kernel's tables. Sourced.

net_up() {
  if ! ip link show "$node_bridge" >/dev/null 2>&1; then
    ip link add "$node_bridge" type bridge || die "cannot make a network bridge: the kernel lacks bridge support"
  fi
  ip addr show dev "$node_bridge" | grep -q "$node_ip/" || ip addr add "$node_ip/32" dev "$node_bridge"
  ip link set "$node_bridge" up
  mkdir -p "$state"
  # What `down` puts back.
  [ -s "$state/ip_forward.before" ] || cat /proc/sys/net/ipv4/ip_forward >"$state/ip_forward.before"
  echo 1 >/proc/sys/net/ipv4/ip_forward
  modprobe br_netfilter 2>/dev/null || true
  guard_up
}

# Packets that come from outside this machine never reach the node address,
# pods or services: forwarding is on, so a neighbour could route to them.
guard_up() {
  iptables -w -n -L ROOST-GUARD >/dev/null 2>&1 || iptables -w -N ROOST-GUARD
  iptables -w -F ROOST-GUARD
  local i net
  for i in lo "$pod_bridge" "$node_bridge"; do
    iptables -w -A ROOST-GUARD -i "$i" -j RETURN
  done
  iptables -w -A ROOST-GUARD -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
  for net in "$node_ip/32" "$pod_cidr" "$service_cidr"; do
    iptables -w -A ROOST-GUARD -d "$net" -j DROP
  done
  local chain
  for chain in INPUT FORWARD; do
    iptables -w -C "$chain" -j ROOST-GUARD 2>/dev/null || iptables -w -I "$chain" -j ROOST-GUARD
  done
  guard_services
}

# A Service address that kube-proxy does not know (yet) would go out by the default route, where a
# stranger may answer: it is refused here instead. Known ones have a pod's address by then.
guard_services() {
  iptables -w -n -L ROOST-SERVICES >/dev/null 2>&1 || iptables -w -N ROOST-SERVICES
  iptables -w -F ROOST-SERVICES
  iptables -w -A ROOST-SERVICES -d "$service_cidr" -j REJECT
  local chain
  for chain in OUTPUT FORWARD; do
    iptables -w -C "$chain" -j ROOST-SERVICES 2>/dev/null || iptables -w -I "$chain" -j ROOST-SERVICES
  done
}

our_rules='KUBE-|CNI-|ROOST-'

# rules_left COMMAND: the lines of ours in one rule set.
rules_left() { { "$1-save" 2>/dev/null || true; } | grep -E "^(-A|:).*($our_rules)" || true; }

# Takes our chains, and jumps to them, out of every table. Rules of others are
# not touched: each rule is deleted by itself, never a whole table.
rules_down() {
  local cmd table line
  for cmd in iptables ip6tables; do
    command -v $cmd >/dev/null || continue
    for table in filter nat mangle raw; do
      # Jumps from the built-in chains first, then contents, then chains.
      { $cmd -w -t $table -S 2>/dev/null | grep -E "^-A (INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING) .*($our_rules)" || true; } |
        while read -r line; do
          # Comments are quoted in the listing, so the shell must read them.
          eval "$cmd -w -t $table -D ${line#-A }" || true
        done
      for line in $($cmd -w -t $table -S 2>/dev/null | sed -nE "s/^-N ((KUBE-|CNI-|ROOST-).*)/\1/p"); do
        $cmd -w -t $table -F "$line" 2>/dev/null || true
      done
      for line in $($cmd -w -t $table -S 2>/dev/null | sed -nE "s/^-N ((KUBE-|CNI-|ROOST-).*)/\1/p"); do
        $cmd -w -t $table -X "$line" 2>/dev/null || true
      done
    done
  done
}

interfaces_left() {
  local i
  for i in "$pod_bridge" "$node_bridge"; do
    if [ -e "/sys/class/net/$i" ]; then echo "$i"; fi
  done
  # veths of pods hang on the bridge; a crashed add leaves one without master.
  ip -o link show type veth 2>/dev/null | sed -nE "s/^[0-9]+: (veth[0-9a-f]{8})@.*/\1/p"
}

net_down() {
  local i
  for i in $(interfaces_left); do
    ip link del "$i" 2>/dev/null || true
  done
  rules_down
  if [ -s "$state/ip_forward.before" ]; then
    cat "$state/ip_forward.before" >/proc/sys/net/ipv4/ip_forward
    rm -f "$state/ip_forward.before"
  fi
}
