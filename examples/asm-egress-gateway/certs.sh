#!/bin/sh
# Makes a throw-away certificate authority of a mesh, and a workload certificate
# for the egress gateway and for two callers, each in a folder as postern run
# --identity reads it: cert-chain.pem, key.pem, root-cert.pem. In a cluster
# istiod or a SPIFFE agent gives these out.
#
#   sh certs.sh FOLDER
set -eu

out=${1:?usage: sh certs.sh FOLDER}
umask 077
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

openssl ecparam -name prime256v1 -genkey -noout -out "$work/ca.key"
openssl req -x509 -new -key "$work/ca.key" -sha256 -days 30 -subj '/O=example mesh' \
  -addext 'basicConstraints=critical,CA:TRUE,pathlen:0' -addext 'keyUsage=critical,keyCertSign,cRLSign' -out "$work/ca.pem"

# issue FOLDER NAMESPACE SERVICE-ACCOUNT
issue() {
  mkdir -p "$out/$1"
  openssl ecparam -name prime256v1 -genkey -noout -out "$work/raw.key"
  openssl pkcs8 -topk8 -nocrypt -in "$work/raw.key" -out "$out/$1/key.pem"
  openssl req -new -key "$out/$1/key.pem" -subj '/' -out "$work/csr.pem"
  cat >"$work/ext" <<EOF
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = critical,URI:spiffe://cluster.local/ns/$2/sa/$3
EOF
  openssl x509 -req -in "$work/csr.pem" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial \
    -sha256 -days 1 -extfile "$work/ext" -out "$out/$1/cert-chain.pem" 2>/dev/null
  cp "$work/ca.pem" "$out/$1/root-cert.pem"
}

issue egress istio-system istio-egressgateway
issue sleep default sleep
issue curl default curl
echo "certificates in $out: egress, sleep, curl"
