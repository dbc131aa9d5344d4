"""The operator's own SQL user against the strict double, which knows StarRocks' rights (P27)."""

import base64
import json

import pytest

from conftest import wait_until
from double_fixture import world
from test_membership_double import statements

USER = "roost_operator"


@pytest.fixture
def w(plane_of_doubles, tmp_path):
    with world(plane_of_doubles, tmp_path) as one:
        one.more = {"sqlUser": {"enabled": True}}
        one.folder = tmp_path
        yield one


def password(w):
    text = w.plane.kubectl("-n", w.namespace, "get", "secret", "c-roost-sql", "-o", "jsonpath={.data.password}", check=False)
    return base64.b64decode(text).decode()


def sent_by(w, user):
    with w.double.lock:
        return [words for by, words in w.double.by if by == user]


def ask(w):
    """The FE is asked once more from now on, as the user; so far root spoke of nothing but users."""
    with w.double.lock:
        assert [s for by, s in w.double.by if by == "root" and not s.startswith(("CREATE USER", "ALTER USER", "GRANT ", "SET DEFAULT"))] == []
        w.double.by.clear()
    wait_until("the FE is asked", lambda: sent_by(w, USER).count("SHOW FRONTENDS") >= 1, 90)


def test_root_makes_the_user_and_does_nothing_else(w):
    w.create(fe=(1, {}), be=(3, {}))
    w.settle()
    wait_until("the user", lambda: sent_by(w, USER), 90)
    user = w.double.users[USER]
    assert (user.roles, user.default, user.rights) == ({"cluster_admin"}, {"cluster_admin"}, {"OPERATE"})
    assert len(password(w)) >= 32 and user.password == password(w)
    # Membership by that user; what it may not see it does not guess.
    ask(w)
    w.double.replication, w.double.tablets_per_second = 3, 100
    w.patch(be={"replicas": 2})
    assert "requires 3 replicas" in w.degraded("BeScaleInRefused", 90)
    assert not any(b.decommissioned for b in w.double.backends.values())
    w.double.replication = 1
    wait_until("two are left", lambda: w.replicas("be") == 2, 120)
    w.settle()
    assert statements(w, "DROP BACKEND") and sent_by(w, "root") == []
    # Rotation: the Secret goes, the next one's password is set by root, which then is silent again.
    first = password(w)
    w.plane.kubectl("-n", w.namespace, "delete", "secret", "c-roost-sql")
    wait_until("another password", lambda: password(w) not in ("", first) and w.double.users[USER].password == password(w), 120)
    ask(w)
    assert sent_by(w, "root") == []
    # A right that was taken is given again.
    with w.double.lock:
        w.double.users[USER].rights.clear()
        w.double.users[USER].default.clear()
    wait_until("its rights", lambda: w.double.users[USER].rights == {"OPERATE"} and w.double.users[USER].default, 120)
    ask(w)
    assert sent_by(w, "root") == []
    told = w.plane.kubectl("-n", w.namespace, "get", "src,sts,deploy,svc,cm,pods,events", "-o", "json")
    told += "".join(p.read_text() for p in w.folder.glob("operator-*.log")) + json.dumps(w.double.log)
    assert first not in told and password(w) not in told


def test_an_fe_that_refuses_users_is_asked_as_root_and_that_is_told(w):
    w.create(fe=(1, {}), be=(2, {}))
    w.double.knows_users = False
    said = wait_until("root goes on", lambda: w.condition("RootSql").get("message"), 90)
    assert "CREATE USER is refused" in said and w.condition("RootSql")["status"] == "True"
    w.settle()
    assert "SHOW BACKENDS" in sent_by(w, "root")
    wait_until("an Event", lambda: [e for e in w.get("events")["items"] if e["reason"] == "SqlUserRefused"], 60)
    w.patch(be={"replicas": 1})
    wait_until("and does what is to be done", lambda: w.replicas("be") == 1, 120)


def test_a_warehouse_asks_by_that_user_too(w):
    """Until it leaves: DROP WAREHOUSE is root's."""
    w.create(shared_data=True, fe=(1, {}), cn=(1, {}))
    w.settle()
    wait_until("the user", lambda: sent_by(w, USER), 90)
    w.plane.apply([{"apiVersion": "starrocks.com/v1", "kind": "StarRocksWarehouse", "metadata": {"name": "w", "namespace": w.namespace},
                    "spec": {"starRocksCluster": "c", "template": {"image": "none", "replicas": 1}}}])
    wait_until("its asks", lambda: w.get("starrockswarehouses")["items"][0].get("status", {}).get("conditions"), 90)
    ask(w)
    ask(w)
    assert sent_by(w, "root") == []
    w.plane.kubectl("-n", w.namespace, "delete", "starrockswarehouses", "w", "--wait=false")
    wait_until("it is gone", lambda: not w.get("starrockswarehouses")["items"], 90)
