/*
 * spi_cursor.h
 *		Reads very many rows a few at a time.
 */
#ifndef GOV_SPI_CURSOR_H
#define GOV_SPI_CURSOR_H

#include "postgres.h"

extern char *gov_spi_cursor_open(const char *sql, text *argument);
extern uint64 gov_spi_cursor_fetch(const char *name, int64 nrows);
extern void gov_spi_cursor_close(const char *name);

#endif							/* GOV_SPI_CURSOR_H */
