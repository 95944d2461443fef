"""Read a lake with DuckDB and pyarrow and hold it against the lines that went in.

    lake.py LAKE INPUT

INPUT are CloudTrail events as JSON lines, LAKE the folder of a `parquet` sink. Every event must be there once, with its fields
as they were; both readers must see the same; files must have what makes a search fast. Prints the number of files and rows.
"""
import datetime
import glob
import ipaddress
import json
import sys

import duckdb
import pyarrow.dataset as ds
import pyarrow.parquet as pq

lake, source = sys.argv[1:]
want = {}
with open(source) as lines:
    for line in lines:
        event = json.loads(line)
        want[event["eventID"]] = event


def is_address(text):
    try:
        ipaddress.ip_address(text)
        return True
    except ValueError:
        return False


def check(what, holds):
    if not holds:
        sys.exit(f"{what}: not as it should be")


table = f"read_parquet('{lake}/logs/aws_cloudtrail/**/*.parquet', hive_partitioning = true)"
db = duckdb.connect()
rows = db.execute(f"""SELECT eventID, eventName, readOnly, requestParameters, epoch_ms(p_event_time::TIMESTAMPTZ), p_any_ip_addresses,
                      p_row_id, sourceIPAddress, p_log_type, hour FROM {table}""").fetchall()
check("number of rows", len(rows) == len(want))
check("row ids", len({r[6] for r in rows}) == len(rows))
for event_id, name, read_only, parameters, ms, addresses, _, address, log_type, hour in rows:
    event = want[event_id]
    check("eventName", event["eventName"] == name)
    check("readOnly", event.get("readOnly") == read_only)
    check("requestParameters", event.get("requestParameters") == (json.loads(parameters) if parameters else None))
    time = datetime.datetime.fromisoformat(event["eventTime"].replace("Z", "+00:00"))
    check("p_event_time", time.timestamp() * 1000 == ms)
    check("hour", time.hour == int(hour))
    check("p_any_ip_addresses", not is_address(address) or address in addresses)
    check("p_log_type", log_type == "AWS.CloudTrail")

arrow = ds.dataset(f"{lake}/logs/aws_cloudtrail", partitioning="hive").to_table()
check("pyarrow's rows", arrow.num_rows == len(rows))
check("pyarrow's values", sorted(arrow.column("eventID").to_pylist()) == sorted(want))
address = rows[0][7]
found = db.execute(f"SELECT count(*) FROM {table} WHERE list_contains(p_any_ip_addresses, ?)", [address]).fetchone()[0]
in_arrow = sum(address in (a or []) for a in arrow.column("p_any_ip_addresses").to_pylist())
check("a search for an address", found == in_arrow and found > 0)

files = glob.glob(f"{lake}/logs/aws_cloudtrail/**/*.parquet", recursive=True)
for name in files:
    metadata = pq.ParquetFile(name).metadata
    for group in range(metadata.num_row_groups):
        columns = [metadata.row_group(group).column(i) for i in range(metadata.num_columns)]
        check("compression", all(c.compression == "ZSTD" for c in columns))
        check("page index", all(c.has_offset_index for c in columns))
        times = next(c for c in columns if c.path_in_schema == "p_event_time")
        check("statistics", times.has_column_index and times.statistics.min <= times.statistics.max)
blooms = db.execute(f"SELECT count(*) FROM parquet_metadata('{files[0]}') WHERE bloom_filter_offset IS NOT NULL").fetchone()
check("bloom filters", blooms[0] >= 2)
check("nothing is left in staging", not glob.glob(f"{lake}/_staging/**/*.parquet", recursive=True))
print(f"{len(files)} files, {len(rows)} rows")
