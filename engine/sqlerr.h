/* How a failure carries the errno that a MySQL client will see: in err.code. A leaf: every room of the FE, from meta/
 * up to wire/, may include it.
 *
 * err_set(err, SQL_ERR(1146), "Table …"); other negative codes are shown as 1105. */
#ifndef ROOST_ENGINE_SQLERR_H
#define ROOST_ENGINE_SQLERR_H

#define SQL_ERR(mysql_errno) (-(100000 + (mysql_errno)))
static inline int sql_err_no(int code)
{
	return code <= -101000 && code > -110000 ? -code - 100000 : 1105;
}

#endif
