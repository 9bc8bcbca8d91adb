# A terminal of the machine: `terminal.sh MARK SOCKET`. Each line of standard input is a command, as a
# document has it. After each come a line with MARK and its exit code, and one with MARK on standard error.
# SOCKET is told when a program that goes on is ready (sd_notify).
mark=$1
export NOTIFY_SOCKET=$2
cd ~/appproxy
# Commands have a standard input that says nothing and does not end, as of somebody who does not type.
mkfifo "/tmp/.typed.$$"
exec 3<&0 0<>"/tmp/.typed.$$"
rm "/tmp/.typed.$$"
while IFS= read -r line <&3; do
  eval "$line" 3<&-
  printf '\n%s %s\n' "$mark" "$?"
  printf '\n%s\n' "$mark" >&2
done
