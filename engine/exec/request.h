/* The messages between exec.h and its child roost-duck: on fd 3 of the child, each u32 length (little-endian) and
 * that many bytes of JSON, at most EXEC_MESSAGE_MAX. Built and read by both sides of this room only by these names.
 *
 * Paths are absolute, inside the folders of the config; names of columns and inputs are as they come, never SQL text.
 *
 * {"id":n,"op":"open", …}  first of all, made from struct exec_config -> {"id":n,"ok":true,"landlock":abi}
 * {"id":n,"op":"run", ast?, settings?, inputs:[INPUT…], output:OUTPUT, alone?}
 *   alone: true waits until nothing else runs and lets nothing in beside it (exec.c; the child does not look)
 *   ast: json_serialize_sql()'s object with one SELECT naming the inputs as tables; absent: all of the only input
 *   settings: {"disabled_optimizers":"join_order"}
 *   -> {"id":n,"ok":true, rows, bytes, partitions:[{rows,bytes}…], columns:[{name,type}…],
 *       stats:{wall_ms,cpu_ms,peak_mem,input_bytes},
 *       rowsets:[{bucket,path,rows,bytes,crc:"8 hex"}…]   output "tablets": one a bucket that has rows
 *       objects:[{path,rows,bytes}…]                      output "objects"
 *       load:{total,loaded,filtered,unselected,first_error}}   with an input "file"
 *   -> {"id":n,"ok":false,"error":{"code":RPC_E_…,"message"}, load?}
 *   INPUT is one of (columns: [{name,type}…], in the order and with the types that the fragment sees)
 *    {name, kind:"tablets", columns, files:[path…]}      rowsets: DuckDB files with a table t; none: no rows
 *    {name, kind:"objects", columns, files:[path…]}      Parquet
 *    {name, kind:"exchange", columns, files:[{path, from?, to?}…]}   partitions [from, to); absent: all
 *    {name, kind:"file", format:"csv"|"json", path, columns:[{name,type,nullable?}…], options}
 *      options, all optional: columns:[name…] the file's fields in order (absent: columns, in order; a field that is
 *       no column is skipped), column_separator ("\t"), row_delimiter ("\n" or "\r\n"), enclose, escape, skip_header
 *       (lines), null_marker ("\\N"), trim_space, strict (a value that does not convert filters the row; else it is
 *       NULL), max_filter_ratio (0), where (a tree of SELECT <condition>), jsonpaths:["$.a"…] beside columns,
 *       strip_outer_array
 *  OUTPUT is one of
 *    {kind:"exchange", path, partitions:n, keys:[column…], codec:"raw"|"lz4"|"zstd"}
 *    {kind:"tablets", dir, prefix, columns:[{name,type,nullable}…], distribution:[column…], sort:[column…],
 *     buckets:n}   files dir/prefix<bucket>.duckdb; rows are matched to columns by position
 *    {kind:"objects", dir, prefix, columns, rows_per_object}   files dir/prefix<n>.parquet
 * stats: cpu_ms and peak_mem are the whole process', also what ran beside the task.
 * {"id":n,"op":"cancel","target":id}   no answer of its own: the target's answer comes sooner
 * {"id":n,"op":"limits","memory_limit":bytes} -> {"id":n,"ok":true}
 * {"id":n,"op":"serialize","sql"} -> {"id":n,"ok":true,"ast":{…}}                           parser
 *   -> {"id":n,"ok":false,"error":{"code":RPC_E_SQL,"message","position":int or -1}}
 * {"id":n,"op":"deserialize","ast"} -> {"id":n,"ok":true,"sql"}                              parser
 * {"id":n,"op":"types","ddl":[…],"sql"} -> {"id":n,"ok":true,"columns":[{name,type}…]}       parser */
#ifndef ROOST_ENGINE_EXEC_REQUEST_H
#define ROOST_ENGINE_EXEC_REQUEST_H

enum { EXEC_CHILD_FD = 3 };

#endif
