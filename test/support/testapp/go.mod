module slipway.test/testapp

go 1.24
