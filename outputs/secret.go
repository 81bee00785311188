package outputs

import "dnsmonster-sensor/outputs/secure"

// SecretFlag declares an option for a password or token.
type SecretFlag = secure.SecretFlag
