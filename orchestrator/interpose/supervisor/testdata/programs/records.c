/* The C program of the exactness tests: records append|pwrite FILE WRITERS RECORDS
 *
 * So many threads write so many records each to one file, with O_APPEND or each
 * at offsets of its own. What a record is says testdata/record. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_SIZE = 80, MAX_WRITERS = 16 };

static int file, records, placed;

static int make(char *record, int writer, int i)
{
	int filler = 10 + (writer * 31 + i * 17) % (MAX_SIZE - 20);
	int length = sprintf(record, "%02d:%06d:", writer, i);

	memset(record + length, 'a' + (writer + i) % 26, filler);
	record[length + filler] = '\n';
	return length + filler + 1;
}

static void *write_records(void *argument)
{
	int writer = *(int *)argument;
	off_t at = (off_t)writer * records * MAX_SIZE;
	char record[2 * MAX_SIZE];

	for (int i = 0; i < records; i++) {
		int length = make(record, writer, i);
		ssize_t n = placed ? pwrite(file, record, length, at) : write(file, record, length);

		if (n != length) {
			perror("records");
			exit(1);
		}
		at += length;
	}
	return NULL;
}

int main(int count, char **arguments)
{
	static pthread_t threads[MAX_WRITERS];
	static int numbers[MAX_WRITERS];
	int writers;

	if (count != 5)
		return 2;
	placed = strcmp(arguments[1], "pwrite") == 0;
	writers = atoi(arguments[3]);
	records = atoi(arguments[4]);
	file = open(arguments[2], O_WRONLY | O_CREAT | (placed ? 0 : O_APPEND), 0666);
	if (file < 0 || writers > MAX_WRITERS) {
		perror("records");
		return 1;
	}
	for (int writer = 0; writer < writers; writer++) {
		numbers[writer] = writer;
		pthread_create(&threads[writer], NULL, write_records, &numbers[writer]);
	}
	for (int writer = 0; writer < writers; writer++)
		pthread_join(threads[writer], NULL);
	return 0;
}
