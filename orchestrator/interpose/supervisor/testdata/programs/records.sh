#!/bin/sh
# The shell script of the exactness tests: records.sh append FILE WRITERS RECORDS
# So many processes append so many records each to one file, a record with one
# echo. What a record is says testdata/record.
set -eu
file=$2 writers=$3 records=$4
alphabet=abcdefghijklmnopqrstuvwxyz

# fill LENGTH NUMBER: so many times the letter of that number.
fill() {
	filler=$alphabet rest=$2
	while [ "$rest" -gt 0 ]; do filler=${filler#?} rest=$((rest - 1)); done
	letter=${filler%"${filler#?}"} filler=
	while [ ${#filler} -lt "$1" ]; do filler=$filler$letter; done
}

# number WIDTH NUMBER: with leading zeros.
number() {
	digits=$2
	while [ ${#digits} -lt "$1" ]; do digits=0$digits; done
}

write_records() {
	i=0
	while [ $i -lt "$records" ]; do
		number 2 "$1"
		record=$digits
		number 6 $i
		fill $((10 + ($1 * 31 + i * 17) % 60)) $((($1 + i) % 26))
		echo "$record:$digits:$filler"
		i=$((i + 1))
	done
}

writer=0
while [ $writer -lt "$writers" ]; do
	write_records $writer >>"$file" &
	writer=$((writer + 1))
done
wait
