<?php
// Says what it was told: HTTP_… a line.
header('Content-Type: text/plain');
ksort($_SERVER);
foreach ($_SERVER as $name => $value) {
    if (str_starts_with($name, 'HTTP_')) {
        echo "$name=$value\n";
    }
}
