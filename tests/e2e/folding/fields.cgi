#!/bin/sh
# Says what it was told (RFC 3875): HTTP_… a line.
printf 'Content-Type: text/plain\r\n\r\n'
env | grep '^HTTP_' | sort
