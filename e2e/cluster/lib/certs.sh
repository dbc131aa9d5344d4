# shellcheck shell=bash
# Certificates and kubeconfigs. Sourced.

# make_ca NAME COMMON-NAME
make_ca() {
  [ ! -s "$pki/$1.crt" ] || return 0
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$2" \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature \
    -keyout "$pki/$1.key" -out "$pki/$1.crt" 2>/dev/null
}

# make_cert NAME CA SUBJECT [SANS]
make_cert() {
  local name=$1 ca=$2 subject=$3 sans=${4:-}
  [ ! -s "$pki/$name.crt" ] || return 0
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" \
    -keyout "$pki/$name.key" -out "$pki/$name.csr" 2>/dev/null
  {
    echo 'basicConstraints=CA:FALSE'
    echo 'keyUsage=critical,digitalSignature,keyEncipherment'
    echo 'extendedKeyUsage=serverAuth,clientAuth'
    [ -z "$sans" ] || echo "subjectAltName=$sans"
  } >"$pki/$name.ext"
  openssl x509 -req -in "$pki/$name.csr" -CA "$pki/$ca.crt" -CAkey "$pki/$ca.key" -CAcreateserial \
    -days 3650 -extfile "$pki/$name.ext" -out "$pki/$name.crt.new" 2>/dev/null
  # The certificate appears last: an interrupted run makes the pair again.
  mv "$pki/$name.crt.new" "$pki/$name.crt"
  rm -f "$pki/$name.csr" "$pki/$name.ext"
}

# make_kubeconfig FILE CERT-NAME
make_kubeconfig() {
  local b64='base64 -w0'
  (
    umask 077
    cat >"$1.new" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: roost
  cluster:
    server: https://$node_ip:6443
    certificate-authority-data: $($b64 "$pki/ca.crt")
users:
- name: $2
  user:
    client-certificate-data: $($b64 "$pki/$2.crt")
    client-key-data: $($b64 "$pki/$2.key")
contexts:
- name: roost
  context: {cluster: roost, user: $2}
current-context: roost
EOF
  )
  mv "$1.new" "$1"
}

make_certs() {
  mkdir -p "$pki"
  chmod 700 "$pki"
  make_ca ca roost-ca
  # The aggregation layer's clients have a CA of their own: a certificate of
  # the client CA must not be able to speak in another user's name.
  make_ca front-proxy-ca roost-front-proxy-ca
  make_cert apiserver ca /CN=kube-apiserver "IP:127.0.0.1,IP:$node_ip,IP:$service_first,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
  make_cert apiserver-kubelet ca /O=system:masters/CN=kube-apiserver-kubelet-client
  make_cert front-proxy front-proxy-ca /CN=front-proxy-client
  make_cert kubelet ca "/O=system:nodes/CN=system:node:$node_name" "IP:$node_ip,DNS:$node_name"
  make_cert admin ca /O=system:masters/CN=roost-admin
  make_cert controller-manager ca /CN=system:kube-controller-manager "IP:127.0.0.1"
  make_cert scheduler ca /CN=system:kube-scheduler "IP:127.0.0.1"
  make_cert proxy ca /CN=system:kube-proxy
  [ -s "$pki/sa.pub" ] || {
    openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null
    openssl rsa -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null
  }
  make_kubeconfig "$kubeconfig" admin
  local c
  for c in kubelet controller-manager scheduler proxy; do
    make_kubeconfig "$pki/$c.kubeconfig" "$c"
  done
}
