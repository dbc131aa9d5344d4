/* Every change of the catalog, one row each: the only list of them (X-macro), and the form of each payload.
 *
 * A command is a JSON object in the log; applying it is deterministic: ids and times come from the payload or from
 * the state, never from the clock or a generator inside apply. An apply that must refuse (the table exists) leaves
 * the state as it was and gives the same refusal on every replica and at every replay.
 * Adding a command: one row here, one function meta_apply_<name> in meta/apply_*.c, one test. */
#ifndef ROOST_ENGINE_META_COMMAND_H
#define ROOST_ENGINE_META_COMMAND_H

/* X(NAME, name)      payload -> result
 * create_database    {name, if_not_exists} -> {id}
 * drop_database      {name, if_exists}  drops its tables as well
 * create_table       {db, name, if_not_exists, columns:[{name,type,declared,nullable,key,default?,comment?}…],
 *                     keys_type:"DUPLICATE", keys:[…], distribution:[…], buckets, replication_num,
 *                     storage:"local"|"bucket", volume?, properties:{…}, comment?, replicas:[[node id…] per bucket]}
 *                    -> {id, tablets:[id…]}
 * drop_table         {db, name, if_exists}
 * truncate_table     {db, name}
 * commit_load        {txn, db, table (id), label, user, ts, rows, bytes, rowsets:[ROWSET…] or objects:[OBJECT…]} -> {version}
 * abort_load         {txn, db, label, reason, ts}   (kept so that SHOW LOAD and the label tell the truth)
 * add_node           {role:"be"|"cn", host, heartbeat_port, ts} -> {id}     refused when the address is there
 * drop_node          {role, host, heartbeat_port, force} -> {id}
 * set_node           {id, decommissioned:bool}
 * set_replicas       {tablet, replicas:[node id…]}   after a copy was made, or before one is deleted
 * set_password       {user, hash}  (mysql_native_password: "*" + 40 hex digits, "" = none)
 * set_variable       {name, value} (SET GLOBAL)
 * found              {cluster_id, ts}  the first command of all; meta_open() submits it
 * reserve_txns       {n} -> {from}  a block of transaction ids, so that ids are unique for ever
 */
#define META_COMMANDS(X)                    \
	X(CREATE_DATABASE, create_database) \
	X(DROP_DATABASE, drop_database)     \
	X(CREATE_TABLE, create_table)       \
	X(DROP_TABLE, drop_table)           \
	X(TRUNCATE_TABLE, truncate_table)   \
	X(COMMIT_LOAD, commit_load)         \
	X(ABORT_LOAD, abort_load)           \
	X(ADD_NODE, add_node)               \
	X(DROP_NODE, drop_node)             \
	X(SET_NODE, set_node)               \
	X(SET_REPLICAS, set_replicas)       \
	X(SET_PASSWORD, set_password)       \
	X(SET_VARIABLE, set_variable)       \
	X(FOUND, found)                     \
	X(RESERVE_TXNS, reserve_txns)

enum meta_command {
#define X(NAME, name) META_##NAME,
	META_COMMANDS(X)
#undef X
		META_COMMAND_COUNT
};

#endif
