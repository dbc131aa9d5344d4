# shellcheck shell=bash
# Every part of this folder's shell code, in an order where each may use those
# before it. Sourced by the commands.
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=lib/packages.sh
. "$here/lib/packages.sh"
# shellcheck source=lib/build.sh
. "$here/lib/build.sh"
# shellcheck source=lib/certs.sh
. "$here/lib/certs.sh"
# shellcheck source=lib/net.sh
. "$here/lib/net.sh"
# shellcheck source=lib/process.sh
. "$here/lib/process.sh"
# shellcheck source=lib/node.sh
. "$here/lib/node.sh"
# shellcheck source=lib/images.sh
. "$here/lib/images.sh"
# shellcheck source=lib/builder.sh
. "$here/lib/builder.sh"
# shellcheck source=lib/parts.sh
. "$here/lib/parts.sh"
# shellcheck source=lib/autoscaling.sh
. "$here/lib/autoscaling.sh"
# shellcheck source=lib/teardown.sh
. "$here/lib/teardown.sh"
